# SPDX-License-Identifier: LGPL-2.1-or-later
"""Generates qapi-commands.h and qapi-commands.c: handler prototypes and the dispatch table."""

from . import c
from .schema import c_name

HOW_TO = '''/*
 * How to write a handler
 *
 * A command NAME of the schema is carried out by the function qmp_NAME() declared below, defined in
 * the file named after the schema module. When it is called, the arguments have been parsed and
 * checked against the schema; they are lent for the time of the call.
 *
 *  - A command with a reply returns it: a newly allocated struct (g_new0(QapiX, 1) or
 *    qapi_parse_X()), array (qapi_list_new_X(); empty, never NULL), string or JSON value, which the
 *    caller frees. NULL means failure, with @error set.
 *  - A command without a reply returns true, or false with @error set.
 *  - Optional numbers, booleans and enums come with a has_ flag; optional strings, structs and
 *    arrays are NULL where absent.
 *  - An error of domain QMP_ERROR chooses the class the client sees; any other is GenericError.
 *    The text is what the client reads, so it names the thing that is wrong.
 *  - qmp_context_machine() is what the server was given at its creation; descriptors that came with
 *    the command are taken by qmp_context_take_fd(); qmp_context_after_reply() has something done
 *    once the reply is on its way.
 *  - Handlers run in the server's main context, one command at a time, and do not block. Those of
 *    commands with 'allow-oob' may run while another command waits for its turn.
 */
'''


def _function(command):
    return 'qmp_' + c_name(command.name).removeprefix('qmp_')


def _head(command):
    params = ['QmpContext *ctx']
    if command.gen:
        params += c.parameters(command.args, command.boxed)
    else:
        params.append('json_object *args')
    params.append('GError **error')
    result = command.returns.ctype if command.returns else 'bool '
    return c.prototype(result + _function(command), params)


def generate_header(schema, name, types_header, prefix):
    lines = [c.header(name, 'the commands of the QMP schema'), '#pragma once', '',
             '#include "qmp/qmp_command.h"',
             f'#include "{types_header}"', '', HOW_TO]
    lines += [_head(command) + ';' for command in schema.commands.values()]
    lines += ['', '/* The commands in the order of the schema; the last one has no name. */',
              f'extern const QmpCommand {prefix}qmp_commands[];', '']
    return '\n'.join(lines)


def _call(command):
    values = ['ctx']
    if not command.gen:
        values.append('in')
    elif command.boxed:
        values.append('args')
    elif command.args:
        for member in command.args.members:
            if member.has_flag:
                values.append(f'args->has_{member.c_name}')
            values.append(f'args->{member.c_name}')
    values.append('error')
    text, line = '', f'{_function(command)}('
    for number, value in enumerate(values):
        piece = value + (')' if number == len(values) - 1 else ', ')
        if len(line) + len(piece) > 70:
            text += line.rstrip() + '\n\t\t\t'
            line = ''
        line += piece
    return text + line


def _marshal(command):
    lines = [f'static bool marshal_{c_name(command.name)}(QmpContext *ctx, json_object *in, '
             'json_object **out,', '\t\t\t\tGError **error)', '{']
    parsed = command.gen and command.args
    if parsed:
        lines.append(f'\tg_autoptr(Qapi{command.args.name}) args =\n\t\tqapi_parse_'
                     f'{command.args.name}(in, QAPI_PARSE_STRICT, error);')
    if command.returns:
        lines.append(f'\t{command.returns.ctype}result;')
    if parsed or command.returns:
        lines.append('')
    if parsed:
        lines += ['\tif (!args)', '\t\treturn false;']
    elif command.gen:
        lines += ['\tif (!qmp_command_has_no_arguments(in, error))', '\t\treturn false;']
    if not command.returns:
        lines += ['\t(void)out;', f'\treturn {_call(command)};', '}', '']
        return lines
    descriptor = command.returns.descriptor
    return lines + [f'\tresult = {_call(command)};', '\tif (!result)', '\t\treturn false;',
                    f'\t*out = qapi_format(&{descriptor}, result);',
                    f'\tqapi_free(&{descriptor}, result);', '\treturn true;', '}', '']


def generate_source(schema, name, prefix):
    lines = [c.header(name, 'the commands of the QMP schema'), '#include "config.h"', '',
             f'#include "{name[:-1]}h"', '']
    returns = [command.returns for command in schema.commands.values() if command.returns]
    lines += [c.array_descriptor(array) for array in c.arrays_of(returns)]
    for command in schema.commands.values():
        lines += _marshal(command)
    lines.append(f'const QmpCommand {prefix}qmp_commands[] = {{')
    for command in schema.commands.values():
        flags = [flag for flag, is_set in (('QMP_COMMAND_ALLOW_OOB', command.oob),
                                           ('QMP_COMMAND_ALLOW_PRECONFIG', command.preconfig))
                 if is_set]
        lines.append(f'\t{{ "{command.name}", marshal_{c_name(command.name)}, '
                     f'{" | ".join(flags) or "0"} }},')
    return '\n'.join(lines + ['\t{ NULL, NULL, 0 },', '};', ''])
