# SPDX-License-Identifier: LGPL-2.1-or-later
"""The checked model of a schema: types, commands, events and what they refer to."""

import re

from .source import SchemaError, Source


def c_name(name):
    """A schema name as part of a C identifier."""
    return re.sub('[^A-Za-z0-9_]', '_', name)


C_TAKEN = set('''auto break case char const continue default do double else enum extern float for
    goto if inline int long register restrict return short signed sizeof static struct switch
    typedef union unsigned void volatile while bool true false unix linux errno asm typeof'''.split())


def c_member(name):
    """A schema name as a C member or parameter; names C has taken get a 'q_' in front."""
    name = c_name(name)
    return 'q_' + name if name in C_TAKEN else name


def upper(name):
    """CamelCase or lower-case name in upper case with underscores."""
    name = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', name)
    name = re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', name)
    return c_name(name).upper()


def camel(name):
    """A command's or event's name in CamelCase."""
    return ''.join(part.capitalize() for part in re.split('[-_]', name))


class Type:
    """Anything a member can be. 'inline' types live in the member itself, the others behind a
    pointer, which is NULL where the member is absent."""

    meta = None
    inline = False

    def __init__(self, name, where=None, doc=None):
        self.name = name
        self.where = where
        self.doc = doc

    @property
    def descriptor(self):
        return f'qapi_type_{c_name(self.name)}'


class Builtin(Type):
    meta = 'builtin'

    def __init__(self, name, ctype, json_type, introspect):
        super().__init__(name)
        self.ctype = ctype
        self.json_type = json_type
        self.introspect = introspect
        self.inline = not ctype.endswith('*')


BUILTINS = [Builtin(*row) for row in (
    ('str', 'char *', 'string', 'str'),
    ('number', 'double ', 'number', 'number'),
    ('int', 'int64_t ', 'int', 'int'),
    ('int8', 'int8_t ', 'int', 'int'),
    ('int16', 'int16_t ', 'int', 'int'),
    ('int32', 'int32_t ', 'int', 'int'),
    ('int64', 'int64_t ', 'int', 'int'),
    ('uint8', 'uint8_t ', 'int', 'int'),
    ('uint16', 'uint16_t ', 'int', 'int'),
    ('uint32', 'uint32_t ', 'int', 'int'),
    ('uint64', 'uint64_t ', 'int', 'int'),
    ('size', 'uint64_t ', 'int', 'int'),
    ('bool', 'bool ', 'boolean', 'bool'),
    ('null', 'json_object *', 'null', 'null'),
    ('any', 'json_object *', 'value', 'any'),
)]


class Member:
    """A member of an object: a name, a type, maybe optional."""

    def __init__(self, name, type_ref, where):
        self.optional = name.startswith('*')
        self.name = name[1:] if self.optional else name
        self.type = type_ref
        self.where = where
        self.c_name = c_member(self.name)

    @property
    def has_flag(self):
        return self.optional and self.type.inline


class Enum(Type):
    meta = 'enum'
    inline = True
    json_type = 'string'

    def __init__(self, name, where, doc, values):
        super().__init__(name, where, doc)
        self.values = values
        self.ctype = f'Qapi{name} '

    def constant(self, value):
        return f'QAPI_{upper(self.name)}_{upper(value)}'


class Array(Type):
    meta = 'array'
    json_type = 'array'

    def __init__(self, element):
        super().__init__(f'{element.name}List')
        self.element = element
        self.ctype = 'GArray *' if element.inline else 'GPtrArray *'


class Object(Type):
    """A struct or a union: its members with those of its base, and the branches of a union."""

    meta = 'object'
    json_type = 'object'

    def __init__(self, name, where, doc, base, own, discriminator=None, branches=None):
        super().__init__(name, where, doc)
        self.base = base
        self.own = own
        self.members = None
        self.discriminator = discriminator
        self.branches = branches or {}
        self.tag = None
        self.ctype = f'Qapi{name} *'


class Alternate(Type):
    meta = 'alternate'
    json_type = 'value'

    def __init__(self, name, where, doc, branches):
        super().__init__(name, where, doc)
        self.branches = branches
        self.ctype = f'Qapi{name} *'


class Command:
    def __init__(self, name, where, doc):
        self.name = name
        self.where = where
        self.doc = doc
        self.args = None
        self.returns = None
        self.boxed = False
        self.gen = True
        self.oob = False
        self.preconfig = False


class Event:
    def __init__(self, name, where, doc):
        self.name = name
        self.where = where
        self.doc = doc
        self.args = None
        self.boxed = False


class Schema:
    """Everything defined in a schema file and the files it includes, checked."""

    KEYS = {
        'enum': ({'enum', 'data'}, set()),
        'struct': ({'struct', 'data'}, {'base'}),
        'union': ({'union', 'base', 'discriminator', 'data'}, set()),
        'alternate': ({'alternate', 'data'}, set()),
        'command': ({'command'}, {'data', 'returns', 'boxed', 'gen', 'allow-oob',
                                  'allow-preconfig'}),
        'event': ({'event'}, {'data', 'boxed'}),
    }
    NAME = re.compile(r'(x-)?[A-Za-z][A-Za-z0-9_-]*$')
    ENUM_VALUE = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]*$')

    def __init__(self, path):
        self.modules = Source(path).modules
        self.types = {builtin.name: builtin for builtin in BUILTINS}
        self.commands = {}
        self.events = {}
        self.defined = {}
        self.arrays = {}
        for module in self.modules:
            self.defined[module] = [self._define(e) for e in module.expressions]
        for entity in [e for entities in self.defined.values() for e in entities]:
            self._resolve(entity)
        for entity in [e for entities in self.defined.values() for e in entities]:
            self._check(entity)

    # Definitions

    def _define(self, expression):
        value, where, doc = expression.value, expression.where, expression.doc
        kinds = [kind for kind in self.KEYS if kind in value]
        if len(kinds) != 1:
            raise SchemaError(where, 'not a definition: ' + ', '.join(map(repr, value)))
        kind = kinds[0]
        needed, allowed = self.KEYS[kind]
        for key in needed - value.keys():
            raise SchemaError(where, f"{kind} without '{key}'")
        for key in value.keys() - needed - allowed:
            raise SchemaError(where, f"{kind} with unknown key '{key}'")
        name = value[kind]
        self._name(where, name, f'{kind} name')
        if not doc:
            raise SchemaError(where, f"'{name}' is not documented")
        if doc.name != name:
            raise SchemaError(doc.where, f"'@{doc.name}' stands before the definition of '{name}'")
        return getattr(self, f'_define_{kind}')(name, where, doc, value)

    def _name(self, where, name, what, pattern=NAME):
        if not isinstance(name, str) or not pattern.match(name):
            raise SchemaError(where, f'{what} {name!r} is not a name')

    def _add_type(self, new):
        if new.name in self.types:
            raise SchemaError(new.where, f"type '{new.name}' is defined twice")
        if new.name.endswith('List') or not new.name[0].isupper():
            raise SchemaError(new.where, f"'{new.name}': type names are CamelCase without 'List'")
        self.types[new.name] = new
        return new

    def _define_enum(self, name, where, doc, value):
        values = value['data']
        if not isinstance(values, list) or not values:
            raise SchemaError(where, f"enum '{name}' needs a list of values")
        for item in values:
            self._name(where, item, 'enum value', self.ENUM_VALUE)
        if len({upper(item) for item in values}) != len(values):
            raise SchemaError(where, f"enum '{name}' has two values of the same name")
        return self._add_type(Enum(name, where, doc, values))

    def _members(self, where, data):
        if not isinstance(data, dict):
            raise SchemaError(where, 'members are an object of names and types')
        members = []
        for name, ref in data.items():
            self._name(where, name[1:] if name.startswith('*') else name, 'member')
            members.append(Member(name, ref, where))
        return members

    def _define_struct(self, name, where, doc, value):
        return self._add_type(Object(name, where, doc, value.get('base'),
                                     self._members(where, value['data'])))

    def _define_union(self, name, where, doc, value):
        base = value['base']
        own = self._members(where, base) if isinstance(base, dict) else []
        if not isinstance(value['data'], dict) or not value['data']:
            raise SchemaError(where, f"union '{name}' needs branches")
        return self._add_type(Object(name, where, doc, None if isinstance(base, dict) else base,
                                     own, value['discriminator'], dict(value['data'])))

    def _define_alternate(self, name, where, doc, value):
        branches = self._members(where, value['data'])
        if not branches or any(branch.optional for branch in branches):
            raise SchemaError(where, f"alternate '{name}' needs branches, none optional")
        return self._add_type(Alternate(name, where, doc, branches))

    def _arguments(self, entity, data, suffix):
        """The argument type of a command or event; an inline object becomes a type of its own."""
        if data is None or isinstance(data, str):
            return data
        own = self._members(entity.where, data)
        if not own:
            return None
        return self._add_type(Object(camel(entity.name) + suffix, entity.where, entity.doc, None,
                                     own)).name

    def _flags(self, entity, value, keys):
        for key, attribute, expected in keys:
            if key in value:
                if value[key] is not expected:
                    raise SchemaError(entity.where, f"'{key}' can only be {str(expected).lower()}")
                setattr(entity, attribute, expected)

    def _define_command(self, name, where, doc, value):
        command = Command(name, where, doc)
        if any(c_name(name) == c_name(other) for other in self.commands):
            raise SchemaError(where, f"command '{name}' is defined twice")
        self._flags(command, value, (('boxed', 'boxed', True), ('gen', 'gen', False),
                                     ('allow-oob', 'oob', True),
                                     ('allow-preconfig', 'preconfig', True)))
        command.args = self._arguments(command, value.get('data'), 'Args')
        command.returns = value.get('returns')
        self.commands[name] = command
        return command

    def _define_event(self, name, where, doc, value):
        event = Event(name, where, doc)
        if name in self.events or name != name.upper():
            raise SchemaError(where, f"event '{name}': names are upper-case and unique")
        self._flags(event, value, (('boxed', 'boxed', True),))
        event.args = self._arguments(event, value.get('data'), 'Event')
        self.events[name] = event
        return event

    # References

    def _type(self, where, ref):
        if isinstance(ref, list):
            if len(ref) != 1 or not isinstance(ref[0], str):
                raise SchemaError(where, f'{ref} is not an array type')
            element = self._type(where, ref[0])
            if element.name == 'null':
                raise SchemaError(where, 'an array of null')
            return self.arrays.setdefault(element.name, Array(element))
        if not isinstance(ref, str) or ref not in self.types:
            raise SchemaError(where, f"unknown type {ref!r}")
        return self.types[ref]

    def _object(self, where, ref, what):
        found = self._type(where, ref)
        if not isinstance(found, Object):
            raise SchemaError(where, f"{what} '{ref}' is not a struct or union")
        return found

    def _resolve(self, entity):
        if isinstance(entity, (Command, Event)):
            if entity.args is not None:
                inline = entity.args
                entity.args = self._object(entity.where, entity.args, 'argument type')
                if entity.args.doc is entity.doc:
                    self._resolve(self.types[inline])
            if isinstance(entity, Command) and entity.returns is not None:
                entity.returns = self._type(entity.where, entity.returns)
        elif isinstance(entity, Object):
            for member in entity.own:
                member.type = self._type(member.where, member.type)
            if isinstance(entity.base, str):
                entity.base = self._object(entity.where, entity.base, 'base')
            for case, ref in entity.branches.items():
                entity.branches[case] = self._object(entity.where, ref, 'branch')
        elif isinstance(entity, Alternate):
            for branch in entity.branches:
                branch.type = self._type(branch.where, branch.type)

    # Checks

    def _check(self, entity):
        if isinstance(entity, Command):
            self._check_command(entity)
        elif isinstance(entity, Event):
            self._check_boxed(entity)
        elif isinstance(entity, Enum):
            self._check_doc(entity, entity.values)
        elif isinstance(entity, Object):
            self._all_members(entity, ())
            self._check_doc(entity, [member.name for member in entity.own])
        elif isinstance(entity, Alternate):
            self._check_alternate(entity)

    def _check_doc(self, entity, names):
        for name in names:
            if name not in entity.doc.members:
                raise SchemaError(entity.doc.where, f"'{entity.name}': '@{name}' is not documented")
        for name in entity.doc.members:
            if name not in names:
                raise SchemaError(entity.doc.where,
                                  f"'{entity.name}' documents '@{name}', which it does not have")

    def _check_boxed(self, entity):
        if entity.args is None:
            if entity.boxed:
                raise SchemaError(entity.where, "'boxed' without arguments")
            self._check_doc(entity, [])
            return
        if entity.args.doc is entity.doc:
            self._check(entity.args)
        else:
            self._all_members(entity.args, ())
            self._check_doc(entity, [])
        if entity.args.branches and not entity.boxed:
            raise SchemaError(entity.where, f"'{entity.name}': a union is passed 'boxed'")

    def _check_command(self, command):
        self._check_boxed(command)
        if command.returns and command.returns.inline:
            raise SchemaError(command.where, f"'{command.name}' returns '{command.returns.name}': "
                              'a reply is an object, an array, a string or any')
        if not command.gen and command.returns:
            raise SchemaError(command.where, f"'{command.name}': 'gen': false with a reply")

    def _all_members(self, entity, chain):
        """Fills in the members of an object with its base's; checks names and branches."""
        if entity in chain:
            raise SchemaError(entity.where, f"'{entity.name}' contains itself")
        if entity.members is not None:
            return
        members = []
        if entity.base:
            self._all_members(entity.base, chain + (entity,))
            if entity.base.branches:
                raise SchemaError(entity.where, f"base '{entity.base.name}' is a union")
            members += entity.base.members
        members += entity.own
        for member in members:
            if member.type.name == 'null':
                raise SchemaError(entity.where, f"member '{member.name}' is always null")
        if entity.discriminator:
            self._check_union(entity, members, chain)
        self._unique(entity, members)
        entity.members = members

    @staticmethod
    def _unique(entity, members):
        seen = {'u'} if entity.branches else set()
        for member in members:
            for name in [member.c_name] + (['has_' + member.c_name] if member.has_flag else []):
                if name in seen:
                    raise SchemaError(entity.where, f"'{entity.name}': member '{member.name}' "
                                      'clashes with another')
                seen.add(name)

    def _check_union(self, entity, members, chain):
        tags = [member for member in members if member.name == entity.discriminator]
        if not tags or tags[0].optional or not isinstance(tags[0].type, Enum):
            raise SchemaError(entity.where, f"discriminator '{entity.discriminator}' is not a "
                              'mandatory enum member of the base')
        entity.tag = tags[0]
        for case, branch in entity.branches.items():
            if case not in entity.tag.type.values:
                raise SchemaError(entity.where,
                                  f"branch '{case}' is not a value of '{entity.tag.type.name}'")
            self._all_members(branch, chain + (entity,))
            if branch.branches:
                raise SchemaError(entity.where, f"branch '{case}' is a union itself")
            for member in branch.members:
                if member.name in [common.name for common in members]:
                    raise SchemaError(entity.where, f"branch '{case}': member '{member.name}' "
                                      'is already in the base')

    def _check_alternate(self, entity):
        self._check_doc(entity, [branch.name for branch in entity.branches])
        seen = {}
        for branch in entity.branches:
            if isinstance(branch.type, Alternate) or branch.type.name == 'any':
                raise SchemaError(entity.where, f"branch '{branch.name}' could be anything")
            kind = branch.type.json_type
            kind = 'number' if kind == 'int' else kind
            if kind in seen:
                raise SchemaError(entity.where, f"branches '{seen[kind]}' and '{branch.name}' "
                                  'look the same in JSON')
            seen[kind] = branch.name
