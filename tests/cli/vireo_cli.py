# SPDX-License-Identifier: LGPL-2.1-or-later
"""The built vireo command under test: TAP, guests of a few bytes, monitors.

A test is a function that takes a Path to a directory of its own and raises what is wrong. main()
runs them all; what a test started is ended and checked for remains after it.
"""

import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

VIREO = os.path.join(os.environ.get('top_builddir', os.getcwd()), 'vireo')
# Nothing here takes long; a machine that does other things as well may.
LIMIT = 60

# Guests, in 32-bit protected mode without paging, as PVH starts them.
HALT = b'\xfa\xf4\xeb\xfd'                                  # 1: cli; hlt; jmp 1b
SERIAL = b'\x66\xba\xf8\x03\xb0%c\xee'                      # out 0x3f8, character


def say(text):
    """Code that writes @text to the first serial port."""
    return b''.join(SERIAL % ord(character) for character in text)


def out8(port, value):
    """Code that writes a byte to a port."""
    return b'\x66\xba' + struct.pack('<H', port) + b'\xb0' + bytes([value]) + b'\xee'


def jump(address):
    """Code that goes on at @address."""
    return b'\xb8' + struct.pack('<I', address) + b'\xff\xe0'   # mov eax, address; jmp eax


def kernel(path, code):
    """Writes a PVH ELF whose kernel is @code, and returns its path."""
    entry = 0x100000
    note = struct.pack('<III4sI', 4, 4, 18, b'Xen\0', entry)
    headers = 52 + 2 * 32
    elf = struct.pack('<16sHHIIIIIHHHHHH', b'\x7fELF\x01\x01\x01', 2, 3, 1, entry, 52, 0, 0, 52, 32,
                      2, 0, 0, 0)
    elf += struct.pack('<IIIIIIII', 1, headers + len(note), entry, entry, len(code), len(code), 5, 1)
    elf += struct.pack('<IIIIIIII', 4, headers, 0, 0, len(note), len(note), 4, 4)
    pathlib.Path(path).write_bytes(elf + note + code)
    return str(path)


def master_boot_record(path, text):
    """Makes a disk whose boot record writes @text to the first serial port: 16-bit code."""
    code = b''.join(b'\xba\xf8\x03\xb0%c\xee' % ord(character) for character in text) + HALT
    sector = code.ljust(510, b'\0') + b'\x55\xaa'
    pathlib.Path(path).write_bytes(sector.ljust(1 << 20, b'\0'))


def until_key(text):
    """Code that writes @text to the first serial port again and again until a byte comes from there."""
    writing = say(text)
    # mov $20000, %ecx; 1: mov $0x3fd, %dx; in %dx, %al; test $1, %al; jnz 2f; loop 1b; jmp (to the
    # beginning); 2: mov $0xf8, %dl; in %dx, %al
    waiting = b'\xb9\x20\x4e\0\0' + b'\x66\xba\xfd\x03\xec\xa8\x01\x75\x07\xe2\xf5'
    back = -(len(writing) + len(waiting) + 5)
    return writing + waiting + b'\xe9' + struct.pack('<i', back) + b'\xb2\xf8\xec'


class Skip(Exception):
    """Raised by a test that cannot run here, with the reason."""


class Monitor:
    """A QMP client, negotiated."""

    connected = []

    def __init__(self, path_or_socket, negotiate=True):
        self.events = []
        self.buffer = b''
        if isinstance(path_or_socket, socket.socket):
            self.socket = path_or_socket
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(str(path_or_socket))
            except OSError:
                self.socket.close()
                raise
        Monitor.connected.append(self)
        self.socket.settimeout(LIMIT)
        self.greeting = self.read()
        if negotiate:
            self.command('qmp_capabilities')

    def read(self):
        """The next message; None at the end."""
        while b'\n' not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b''
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def reply(self):
        """The next message that is no event; events are kept."""
        while True:
            message = self.read()
            if message is None or 'event' not in message:
                return message
            self.events.append(message)

    def raw(self, data):
        """Sends bytes as they are and returns the reply."""
        self.socket.sendall(data)
        return self.reply()

    def send(self, command, fds=(), **arguments):
        """Sends a command and returns the whole reply."""
        message = {'execute': command}
        if arguments:
            message['arguments'] = {name.replace('_', '-'): value
                                    for name, value in arguments.items()}
        text = json.dumps(message).encode() + b'\n'
        sent = socket.send_fds(self.socket, [text], list(fds))
        if sent < len(text):
            self.socket.sendall(text[sent:])
        return self.reply()

    def command(self, command, fds=(), **arguments):
        """Carries out a command that succeeds and returns its result."""
        reply = self.send(command, fds, **arguments)
        if reply is None or 'return' not in reply:
            raise AssertionError(f'{command} {arguments}: {reply}')
        return reply['return']

    def refuse(self, command, *words, **arguments):
        """Carries out a command that must fail with an error that has @words; returns it."""
        reply = self.send(command, **arguments)
        if reply is None or 'error' not in reply:
            raise AssertionError(f'{command} {arguments} was not refused: {reply}')
        for word in words:
            if word not in reply['error']['desc']:
                raise AssertionError(f"{command}: '{word}' is not in: {reply['error']['desc']}")
        return reply['error']

    def event(self, name):
        """Waits for an event and returns its data."""
        while True:
            for event in self.events:
                if event['event'] == name:
                    self.events.remove(event)
                    return event.get('data')
            message = self.read()
            if message is None:
                raise AssertionError(f'the monitor closed before {name}')
            if 'event' in message:
                self.events.append(message)

    def close(self):
        self.socket.close()


class Vireo:
    """A vireo process. Ended at the end of its test if it still runs."""

    running = []

    def __init__(self, directory, *arguments, stdin=subprocess.DEVNULL, pass_fds=(),
                 preexec_fn=None):
        self.directory = directory
        self.qmp_path = directory / f'qmp{len(Vireo.running)}.sock'
        self.arguments = [str(argument) for argument in arguments]
        self.process = subprocess.Popen([VIREO, *self.arguments], cwd=directory, stdin=stdin,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        pass_fds=pass_fds, preexec_fn=preexec_fn)
        self.unread = b''
        Vireo.running.append(self.process)

    @classmethod
    def monitored(cls, directory, *arguments, **more):
        """A process with a monitor, and a client of it."""
        path = directory / f'qmp{len(cls.running)}.sock'
        vireo = cls(directory, '-qmp', f'unix:{path},server=on,wait=off', *arguments, **more)
        return vireo, vireo.connect(path)

    def connect(self, path=None, negotiate=True):
        """A new client; waits until the socket is there."""
        path = path or self.qmp_path
        end = time.monotonic() + LIMIT
        while True:
            try:
                return Monitor(path, negotiate)
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f'no monitor: {self.output()[1]}') from None
                time.sleep(0.01)

    def output(self):
        """Waits for the end; (stdout, stderr)."""
        out, err = self.process.communicate(timeout=LIMIT)
        return (self.unread + out).decode(errors='replace'), err.decode(errors='replace')

    def wait_output(self, text):
        """Reads stdout up to and with @text, at most LIMIT seconds, and leaves the rest."""
        seen = self.unread
        end = time.monotonic() + LIMIT
        while text.encode() not in seen:
            ready, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            data = os.read(self.process.stdout.fileno(), 4096) if ready else b''
            if not data:
                raise AssertionError(f"'{text}' did not come; got {seen}")
            seen += data
        length = seen.index(text.encode()) + len(text)
        self.unread = seen[length:]
        return seen[:length].decode(errors='replace')

    def end(self, status=0):
        """Waits for the end and checks the exit status; returns stderr."""
        _, err = self.output()
        if self.process.returncode != status:
            raise AssertionError(f'exit status {self.process.returncode}: {err}')
        return err

    def quit(self, monitor):
        monitor.command('quit')
        monitor.close()
        return self.end()


def fails(directory, arguments, *words):
    """Checks that vireo with @arguments exits with 1 and one line of error that has all @words."""
    vireo = Vireo(directory, *arguments)
    out, err = vireo.output()
    if vireo.process.returncode != 1:
        raise AssertionError(f'{arguments}: exit status {vireo.process.returncode}: {out}{err}')
    if not err.startswith('vireo: ') or err.count('\n') != 1:
        raise AssertionError(f'{arguments}: not one line of error: {err}')
    for word in words:
        if word not in err:
            raise AssertionError(f"{arguments}: '{word}' is not in: {err}")


def equal(got, expected, what=''):
    if got != expected:
        raise AssertionError(f'{what}: {got!r} is not {expected!r}')


def _cleanup(before):
    for monitor in Monitor.connected:
        monitor.close()
    Monitor.connected.clear()
    for process in Vireo.running:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    Vireo.running.clear()
    after = len(os.listdir('/proc/self/fd'))
    assert after <= before, f'{after - before} descriptors more than before'


def _run(test):
    before = len(os.listdir('/proc/self/fd'))
    with tempfile.TemporaryDirectory(prefix='vireo-cli-') as name:
        directory = pathlib.Path(name)
        try:
            test(directory)
        finally:
            _cleanup(before)


def main(module):
    """Runs every function of @module whose name starts with test_; prints TAP."""
    tests = [value for name, value in vars(module).items() if name.startswith('test_')]
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        print('1..0 # SKIP /dev/kvm cannot be opened')
        return 0
    print(f'1..{len(tests)}', flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        title = (test.__doc__ or test.__name__).strip()
        try:
            _run(test)
            print('ok', number, '-', title, flush=True)
        except Skip as reason:
            print('ok', number, '-', title, '# SKIP', reason, flush=True)
        except Exception:           # whatever it is, the test failed
            failed = 1
            print('not ok', number, '-', title)
            for line in traceback.format_exc().splitlines():
                print('#', line)
            sys.stdout.flush()
    return failed
