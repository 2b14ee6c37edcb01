# SPDX-License-Identifier: LGPL-2.1-or-later
"""Generates qapi-types.h and qapi-types.c: enums, structs and their descriptions."""

from . import c
from .schema import Alternate, Enum, Object, c_member, upper


def _selected(schema, kind):
    return [t for t in schema.types.values() if isinstance(t, kind)]


def _sorted_objects(schema):
    """Objects in an order in which a union follows its branches, which it holds by value."""
    done, result = set(), []

    def visit(entity):
        if entity.name not in done:
            done.add(entity.name)
            for branch in entity.branches.values():
                visit(branch)
            result.append(entity)

    for entity in _selected(schema, Object):
        visit(entity)
    return result


def _enum_declaration(enum):
    lines = ['typedef enum {']
    lines += [f'\t{enum.constant(value)},' for value in enum.values]
    lines += [f'}} Qapi{enum.name};', '',
              f'#define QAPI_{upper(enum.name)}_COUNT {len(enum.values)}',
              f'QAPI_DECLARE_ENUM({enum.name})', '']
    return lines


def _slot(kind, name):
    return f'{kind.ctype}{name};'


def _object_definition(entity):
    lines = [f'struct Qapi{entity.name} {{']
    for member in entity.members:
        if member.has_flag:
            lines.append(f'\tbool has_{member.c_name};')
        lines.append('\t' + _slot(member.type, member.c_name))
    if entity.branches:
        lines.append('\tunion {')
        for case, branch in entity.branches.items():
            lines.append(f'\t\tQapi{branch.name} {_branch_name(case)};')
        lines.append('\t} u;')
    if not entity.members:
        lines.append('\tchar empty;')
    return lines + ['};', '']


def _branch_name(case):
    name = c_member(case)
    return '_' + name if name[0].isdigit() else name


def _alternate_definition(entity):
    kinds = [f'QAPI_{upper(entity.name)}_{upper(branch.name)}' for branch in entity.branches]
    lines = ['typedef enum {'] + [f'\t{kind},' for kind in kinds]
    lines += [f'}} Qapi{entity.name}Kind;', '', f'struct Qapi{entity.name} {{',
              f'\tQapi{entity.name}Kind type;', '\tunion {']
    lines += ['\t\t' + _slot(branch.type, branch.c_name) for branch in entity.branches
              if branch.type.name != 'null']
    return lines + ['\t} u;', '};', '']


def generate_header(schema, name):
    lines = [c.header(name, 'the types of the QMP schema'), '#pragma once', '',
             '#include "qmp/qapi.h"', '']
    for enum in _selected(schema, Enum):
        lines += _enum_declaration(enum)
    objects, alternates = _sorted_objects(schema), _selected(schema, Alternate)
    for entity in objects + alternates:
        lines.append(f'typedef struct Qapi{entity.name} Qapi{entity.name};')
    lines.append('')
    for entity in objects:
        lines += _object_definition(entity)
    for entity in alternates:
        lines += _alternate_definition(entity)
    lines += [f'QAPI_DECLARE_TYPE({entity.name})' for entity in objects + alternates]
    return '\n'.join(lines + [''])


def _member_rows(entity, members, place):
    lines = [f'static const QapiMember members_{entity.name}[] = {{']
    for member in members:
        fields = [f'"{member.name}"', f'&{member.type.descriptor}', place(member)]
        if member.optional:
            has = (f'offsetof(Qapi{entity.name}, has_{member.c_name}), true, true'
                   if member.has_flag else '0, true, false')
        else:
            has = '0, false, false'
        lines.append(f'\t{{ {", ".join(fields)}, {has} }},')
    return lines + ['};', '']


def _object_description(entity):
    lines, extra = [], []
    if entity.members:
        lines += _member_rows(entity, entity.members,
                              lambda m: f'offsetof(Qapi{entity.name}, {m.c_name})')
        extra += [f'\t.members = members_{entity.name},',
                  f'\t.n_members = G_N_ELEMENTS(members_{entity.name}),']
    if entity.branches:
        lines.append(f'static const QapiType *const branches_{entity.name}[] = {{')
        for case, branch in entity.branches.items():
            lines.append(f'\t[{entity.tag.type.constant(case)}] = &{branch.descriptor},')
        # Sized by the enum, so that values without a branch have an element as well.
        lines[-1 - len(entity.branches)] = (f'static const QapiType *const branches_{entity.name}'
                                            f'[{len(entity.tag.type.values)}] = {{')
        lines += ['};', '']
        extra += [f'\t.tag = {[m.name for m in entity.members].index(entity.tag.name)},',
                  f'\t.branch_offset = offsetof(Qapi{entity.name}, u),',
                  f'\t.branches = branches_{entity.name},']
    return lines + [f'const QapiType {entity.descriptor} = {{',
                    f'\t.name = "{entity.name}", .kind = QAPI_KIND_OBJECT, '
                    f'.size = sizeof(Qapi{entity.name}),'] + extra + ['};', '',
                    f'QAPI_DEFINE_TYPE({entity.name})', '']


def _alternate_description(entity):
    lines = _member_rows(entity, entity.branches,
                         lambda m: f'offsetof(Qapi{entity.name}, u)')
    return lines + [f'const QapiType {entity.descriptor} = {{',
                    f'\t.name = "{entity.name}", .kind = QAPI_KIND_ALTERNATE, '
                    f'.size = sizeof(Qapi{entity.name}),',
                    f'\t.members = members_{entity.name},',
                    f'\t.n_members = G_N_ELEMENTS(members_{entity.name}),', '};', '',
                    f'QAPI_DEFINE_TYPE({entity.name})', '']


def generate_source(schema, name):
    lines = [c.header(name, 'descriptions of the types of the QMP schema'), '#include "config.h"',
             '', '#include <stddef.h>', '', f'#include "{name[:-1]}h"', '']
    for enum in _selected(schema, Enum):
        lines.append(f'static const char *const values_{enum.name}[] = {{')
        lines += [f'\t[{enum.constant(value)}] = "{value}",' for value in enum.values]
        lines += ['};', '', f'const QapiType {enum.descriptor} = {{',
                  f'\t.name = "{enum.name}", .kind = QAPI_KIND_ENUM, '
                  f'.size = sizeof(Qapi{enum.name}),',
                  f'\t.values = values_{enum.name}, '
                  f'.n_members = G_N_ELEMENTS(values_{enum.name}),', '};', '']
    objects, alternates = _sorted_objects(schema), _selected(schema, Alternate)
    used = [member.type for entity in objects for member in entity.members]
    used += [branch.type for entity in alternates for branch in entity.branches]
    for array in c.arrays_of(used):
        lines.append(c.array_descriptor(array))
    for entity in objects:
        lines += _object_description(entity)
    for entity in alternates:
        lines += _alternate_description(entity)
    return '\n'.join(lines)
