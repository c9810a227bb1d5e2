"""iSCSI's PDUs as bytes: what an initiator sends, and how to take apart what it gets. Source: RFC 7143 11."""

import base64
import struct

HEAD_LEN = 48
NOP_IN, RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE, DATA_IN = 0x20, 0x21, 0x23, 0x24, 0x25
LOGOUT_RESPONSE, R2T, ASYNC, REJECT = 0x26, 0x31, 0x32, 0x3F
NO_TAG = b"\xff\xff\xff\xff"
SIMPLE = 1


class Numbers:
    """The sequence numbers of a connection."""

    def __init__(self):
        self.command = 1
        self.command_max = 1
        self.expected_status = 0

    def may_send(self):
        """Whether the window has room for another command."""
        return ((self.command_max - self.command) & 0xFFFFFFFF) < 0x80000000

    def take(self):
        """The number of the next command."""
        number, self.command = self.command, (self.command + 1) & 0xFFFFFFFF
        return number

    def learn(self, head):
        """Takes from a PDU what it says about numbers."""
        kind = head[0] & 0x3F
        self.command_max = struct.unpack(">I", head[32:36])[0]
        has_status = kind != R2T and (kind != DATA_IN or head[1] & 1) and (kind != NOP_IN or head[16:20] != NO_TAG)
        if has_status:
            self.expected_status = (struct.unpack(">I", head[24:28])[0] + 1) & 0xFFFFFFFF


def _pdu(code, flags, middle, tag, rest, data=b""):
    """A whole PDU: `middle` is bytes 8 to 15, `rest` what follows the tag."""
    head = struct.pack(">BBHI", code, flags, 0, len(data)) + middle + struct.pack(">I", tag) + rest
    return head.ljust(HEAD_LEN, b"\0") + data + bytes(-len(data) % 4)


def _text(keys):
    return b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys.items())


def login(isid, stage, next_stage, keys, numbers):
    """A login request; without a next stage it stays in this one."""
    flags = stage << 2 if next_stage is None else 0x80 | stage << 2 | next_stage
    rest = struct.pack(">HHII", 1, 0, numbers.command, numbers.expected_status)
    return _pdu(0x43, flags, isid + b"\0\0", 0, rest, _text(keys))


def command(lun, tag, task, immediate, numbers):
    """A SCSI command; takes a number."""
    flags = 0x80 | SIMPLE | (0x20 if task.out else 0) | (0x40 if task.expected else 0)
    rest = struct.pack(">III", len(task.out) or task.expected, numbers.take(), numbers.expected_status)
    return _pdu(0x01, flags, lun, tag, rest + task.cdb.ljust(16, b"\0"), immediate)


def data_out(lun, tag, target_tag, number, offset, part, is_last, numbers):
    """A part of a write's data."""
    rest = struct.pack(">IIIIII", target_tag, 0, numbers.expected_status, 0, number, offset)
    return _pdu(0x05, 0x80 if is_last else 0, lun, tag, rest, part)


def nop_out(head, numbers):
    """The answer to a target's ping."""
    rest = bytes(head[20:24]) + struct.pack(">II", numbers.command, numbers.expected_status)
    return _pdu(0x40, 0x80, bytes(head[8:16]), 0xFFFFFFFF, rest)


def text(keys, numbers):
    """A text request."""
    rest = NO_TAG + struct.pack(">II", numbers.take(), numbers.expected_status)
    return _pdu(0x04, 0x80, bytes(8), 0, rest, _text(keys))


def logout(numbers):
    """A request to end the session."""
    rest = struct.pack(">HHII", 1, 0, numbers.command, numbers.expected_status)
    return _pdu(0x46, 0x80, bytes(8), 0, rest)


def parse_keys(data):
    """The keys of a text."""
    return dict(part.split("=", 1) for part in data.decode(errors="replace").split("\0") if "=" in part)


def binary(value):
    """A binary value in hex or base64."""
    if value[:2].lower() == "0x":
        digits = value[2:]
        return bytes.fromhex("0" * (len(digits) % 2) + digits)
    return base64.b64decode(value[2:])


def sense_code(sense):
    """(sense key, additional code and qualifier) of either format; (0, 0) if there is none."""
    if len(sense) >= 14 and sense[0] & 0x7F in (0x70, 0x71):
        return sense[2] & 0x0F, sense[12] << 8 | sense[13]
    if len(sense) >= 4 and sense[0] & 0x7F in (0x72, 0x73):
        return sense[1] & 0x0F, sense[2] << 8 | sense[3]
    return 0, 0
