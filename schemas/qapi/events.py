# SPDX-License-Identifier: LGPL-2.1-or-later
"""Generates qapi-events.h and qapi-events.c: one function to raise each event."""

from . import c


def _head(event):
    return c.prototype(f'void qapi_event_{event.name.lower()}',
                       ['const QmpEventSink *sink'] + c.parameters(event.args, event.boxed))


def generate_header(schema, name, types_header):
    lines = [c.header(name, 'the events of the QMP schema'), '#pragma once', '',
             '#include "qmp/qmp_event.h"',
             f'#include "{types_header}"', '',
             '/*',
             ' * Each function raises one event. It may be called from any thread; a NULL sink',
             ' * drops the event. The arguments are lent for the time of the call.',
             ' */']
    lines += [_head(event) + ';' for event in schema.events.values()]
    return '\n'.join(lines + [''])


def _assignments(args):
    lines = []
    for member in args.members:
        if member.has_flag:
            lines.append(f'\t\t.has_{member.c_name} = has_{member.c_name},')
        cast = '' if member.type.inline or member.type.name == 'any' else f'({member.type.ctype})'
        lines.append(f'\t\t.{member.c_name} = {cast}{member.c_name},')
    return lines


def _function(event):
    lines = [_head(event), '{']
    data = 'NULL'
    if event.args and event.boxed:
        data = f'qapi_format_{event.args.name}(args)'
    elif event.args:
        # Lent to the formatter, which only reads: the casts take away no more than const.
        lines += [f'\tconst Qapi{event.args.name} args = {{'] + _assignments(event.args)
        lines += ['\t};', '']
        data = f'qapi_format_{event.args.name}(&args)'
    return lines + ['\tif (sink)', f'\t\tsink->emit(sink->opaque, "{event.name}", {data});', '}',
                    '']


def generate_source(schema, name):
    lines = [c.header(name, 'the events of the QMP schema'), '#include "config.h"', '',
             f'#include "{name[:-1]}h"', '']
    for event in schema.events.values():
        lines += _function(event)
    return '\n'.join(lines)
