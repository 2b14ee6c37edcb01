# SPDX-License-Identifier: LGPL-2.1-or-later
"""Generates qapi-introspect.h and qapi-introspect.c: the reply to query-qmp-schema as JSON text.

As in QEMU, only what commands and events reach is listed, and the names of types are masked by
numbers, because they are no part of the interface.
"""

import json

from . import c
from .schema import Alternate, Array, Builtin, Enum


class _Introspection:
    def __init__(self, schema):
        self.entries = []
        self.names = {}
        self.queue = []
        self.builtins = {}
        for command in schema.commands.values():
            entry = {'name': command.name, 'meta-type': 'command',
                     'arg-type': self.arguments(command), 'ret-type': self.reply(command)}
            if command.oob:
                entry['allow-oob'] = True
            self.entries.append(entry)
        for event in schema.events.values():
            self.entries.append({'name': event.name, 'meta-type': 'event',
                                 'arg-type': self.arguments(event)})
        while self.queue:
            kind, name = self.queue.pop(0)
            self.entries.append(self.describe(kind, name))

    def name(self, kind):
        """The masked name of a type; queues it to be described the first time."""
        if isinstance(kind, Array):
            element = self.name(kind.element)
            return self.register(kind, f'[{element}]')
        if isinstance(kind, Builtin):
            return self.register(kind, kind.introspect)
        return self.register(kind, None)

    def register(self, kind, name):
        key = kind.introspect if isinstance(kind, Builtin) else getattr(kind, 'name', kind)
        if isinstance(kind, Array):
            key = name
        if key not in self.names:
            number = sum(1 for known in self.names.values() if known.isdigit())
            self.names[key] = name or str(number)
            self.queue.append((kind, self.names[key]))
        return self.names[key]

    def empty(self):
        return self.register('empty object', None)

    def arguments(self, entity):
        return self.name(entity.args) if entity.args else self.empty()

    def reply(self, command):
        return self.name(command.returns) if command.returns else self.empty()

    def members(self, kind):
        result = []
        for member in kind.members:
            entry = {'name': member.name, 'type': self.name(member.type)}
            if member.optional:
                entry['default'] = None
            result.append(entry)
        return result

    def describe(self, kind, name):
        entry = {'name': name}
        if kind == 'empty object':
            return entry | {'meta-type': 'object', 'members': []}
        entry['meta-type'] = kind.meta
        if isinstance(kind, Builtin):
            entry['json-type'] = kind.json_type
        elif isinstance(kind, Enum):
            entry['members'] = [{'name': value} for value in kind.values]
            entry['values'] = kind.values
        elif isinstance(kind, Array):
            entry['element-type'] = self.name(kind.element)
        elif isinstance(kind, Alternate):
            entry['members'] = [{'type': self.name(branch.type)} for branch in kind.branches]
        else:
            entry['members'] = self.members(kind)
            if kind.branches:
                entry['tag'] = kind.tag.name
                entry['variants'] = [
                    {'case': case, 'type': self.name(kind.branches[case])
                     if case in kind.branches else self.empty()}
                    for case in kind.tag.type.values]
        return entry


def generate_header(name, prefix):
    return '\n'.join([c.header(name, 'what query-qmp-schema answers'), '#pragma once', '',
                      '/* The reply, a JSON array, one element per string; the last is NULL. */',
                      f'extern const char *const {prefix}qapi_introspection[];', ''])


def generate_source(schema, name, prefix):
    lines = [c.header(name, 'what query-qmp-schema answers'), '#include "config.h"', '',
             '#include <stddef.h>', '', f'#include "{name[:-1]}h"', '',
             f'const char *const {prefix}qapi_introspection[] = {{']
    for entry in _Introspection(schema).entries:
        text = json.dumps(entry, separators=(',', ':')).replace('\\', '\\\\').replace('"', '\\"')
        pieces = [text[i:i + 80] for i in range(0, len(text), 80)]
        # A piece must not end inside an escape sequence.
        for i in range(len(pieces) - 1):
            while pieces[i].endswith('\\'):
                pieces[i], pieces[i + 1] = pieces[i][:-1], '\\' + pieces[i + 1]
        lines.append('\n'.join(f'\t"{piece}"' for piece in pieces) + ',')
    return '\n'.join(lines + ['\tNULL,', '};', ''])
