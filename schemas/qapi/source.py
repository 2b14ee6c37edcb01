# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads schema files: tokens, expressions and the documentation blocks before them.

The language is QAPI's: JSON objects in single quotes with comments from '#' to the end of the line.
A block between two lines of '##' is documentation: of a module if it starts with a '= Title' line,
else of the definition that follows it.
"""

import os
import re


class SchemaError(Exception):
    """A schema that cannot be used, with the place where it went wrong."""

    def __init__(self, where, message):
        super().__init__(f'{where}: {message}')


class Doc:
    """A documentation block: body, one section per '@name:' and per tag such as 'Returns:'."""

    TAGS = ('Returns', 'Errors', 'Note', 'Example')
    MEMBER = re.compile(r'@([A-Za-z0-9_.-]+):\s?(.*)$')
    TAG = re.compile(r'(' + '|'.join(TAGS) + r'):\s?(.*)$')

    def __init__(self, where, lines):
        self.where = where
        self.name = None
        self.title = None
        self.body = []
        self.members = {}
        self.tags = {}
        rest = [self._strip(line) for line in lines]
        while rest and not rest[0]:
            rest.pop(0)
        if not rest:
            raise SchemaError(where, 'empty documentation block')
        if rest[0].startswith('= '):
            self.title = rest[0][2:].strip()
            self.body = rest[1:]
            return
        first = self.MEMBER.match(rest[0])
        if not first or first[2]:
            raise SchemaError(where, "a documentation block starts with '@name:' or '= Title'")
        self.name = first[1]
        self._sections(rest[1:])

    def _strip(self, line):
        if line != '#' and not line.startswith('# '):
            raise SchemaError(self.where, "a documentation line starts with '# '")
        return line[2:].rstrip()

    def _sections(self, lines):
        section = self.body
        for line in lines:
            member, tag = self.MEMBER.match(line), self.TAG.match(line)
            if member:
                if member[1] in self.members:
                    raise SchemaError(self.where, f"'@{member[1]}' is documented twice")
                section = self.members[member[1]] = [member[2]]
            elif tag:
                if tag[1] in self.tags:
                    raise SchemaError(self.where, f"section '{tag[1]}' appears twice")
                section = self.tags[tag[1]] = [tag[2]]
            else:
                section.append(line)

    @staticmethod
    def paragraphs(lines):
        """Splits lines at the empty ones; yields (is_verbatim, lines). A line starting with
        '->', '<-' or eight spaces is shown as it is written."""
        block, verbatim = [], False
        for line in list(lines) + ['']:
            raw = line.startswith(('-> ', '<- ', '        '))
            if block and (not line.strip() or raw != verbatim):
                yield verbatim, block
                block = []
            if line.strip():
                block.append(line if raw else line.strip())
                verbatim = raw


class Expression:
    """One top-level object of a schema file."""

    def __init__(self, value, where, doc):
        self.value = value
        self.where = where
        self.doc = doc


class Module:
    """One schema file: its title and its own expressions in order."""

    def __init__(self, path):
        self.path = path
        self.doc = None
        self.expressions = []


class Source:
    """A schema file and everything it includes; modules in the order of inclusion."""

    TOKEN = re.compile(r"""(?P<space>[ \t\r]+)|(?P<line>\n)|(?P<doc>\#\#\n)|(?P<comment>\#[^\n]*)
                           |(?P<punct>[{}\[\]:,])|'(?P<string>[^'\\\n]*)'|(?P<word>[a-z]+)""",
                       re.X)
    WORDS = {'true': True, 'false': False}

    def __init__(self, path):
        self.modules = []
        self._read(os.path.normpath(path), ())

    def _read(self, path, chain):
        if path in chain:
            raise SchemaError(path, 'includes itself')
        if any(module.path == path for module in self.modules):
            return
        try:
            with open(path, encoding='utf-8') as file:
                text = file.read()
        except OSError as error:
            raise SchemaError(path, error.strerror) from error
        module = Module(path)
        self.modules.append(module)
        tokens = self._tokens(path, text)
        for expression in self._expressions(module, tokens):
            value = expression.value
            if isinstance(value, dict) and 'include' in value:
                if len(value) != 1 or not isinstance(value['include'], str):
                    raise SchemaError(expression.where, "'include' takes a file name")
                self._read(os.path.normpath(os.path.join(os.path.dirname(path),
                                                         value['include'])), chain + (path,))
            else:
                module.expressions.append(expression)

    def _tokens(self, path, text):
        position, line = 0, 1
        while position < len(text):
            where = f'{path}:{line}'
            match = self.TOKEN.match(text, position)
            if not match:
                raise SchemaError(where, f'stray {text[position]!r}')
            position = match.end()
            kind = match.lastgroup
            if kind == 'line':
                line += 1
            elif kind == 'doc':
                end = text.find('\n##\n', position - 1)
                if end < 0:
                    raise SchemaError(where, 'documentation block without an end')
                lines = text[position:end].split('\n')
                yield 'doc', Doc(where, lines), where
                line += len(lines) + 2
                position = end + 4
            elif kind == 'word' and match['word'] not in self.WORDS:
                raise SchemaError(where, f"stray '{match['word']}'")
            elif kind not in ('space', 'comment'):
                yield kind, match[kind], where
        yield 'end', None, f'{path}:{line}'

    def _expressions(self, module, tokens):
        doc = None
        for token in tokens:
            if token[0] == 'end':
                break
            if token[0] == 'doc':
                if doc:
                    raise SchemaError(doc.where, f"'@{doc.name}' documents nothing")
                if token[1].title is None:
                    doc = token[1]
                elif module.doc:
                    raise SchemaError(token[2], 'a module has one title')
                else:
                    module.doc = token[1]
                continue
            if token[1] != '{' or token[0] != 'punct':
                raise SchemaError(token[2], "expected '{'")
            yield Expression(self._value(token, tokens), token[2], doc)
            doc = None
        if doc:
            raise SchemaError(doc.where, f"'@{doc.name}' documents nothing")

    def _value(self, token, tokens):
        kind, text, where = token
        if kind == 'string':
            return text
        if kind == 'word':
            return self.WORDS[text]
        if (kind, text) == ('punct', '{'):
            return self._object(where, tokens)
        if (kind, text) == ('punct', '['):
            return self._list(tokens)
        raise SchemaError(where, f'unexpected {text or kind!r}')

    def _object(self, where, tokens):
        result = {}
        token = next(tokens)
        while token[1] != '}' or token[0] != 'punct':
            if token[0] != 'string':
                raise SchemaError(token[2], 'expected a quoted name')
            colon = next(tokens)
            if colon[1] != ':':
                raise SchemaError(colon[2], "expected ':'")
            if token[1] in result:
                raise SchemaError(token[2], f"'{token[1]}' appears twice")
            result[token[1]] = self._value(next(tokens), tokens)
            token = self._separator(tokens, '}')
        return result

    def _list(self, tokens):
        result = []
        token = next(tokens)
        while token[1] != ']' or token[0] != 'punct':
            result.append(self._value(token, tokens))
            token = self._separator(tokens, ']')
        return result

    @staticmethod
    def _separator(tokens, end):
        token = next(tokens)
        if token[0] == 'punct' and token[1] == end:
            return token
        if token[0] != 'punct' or token[1] != ',':
            raise SchemaError(token[2], f"expected ',' or '{end}'")
        token = next(tokens)
        if token[0] == 'punct' and token[1] == end:
            raise SchemaError(token[2], f"nothing between ',' and '{end}'")
        return token
