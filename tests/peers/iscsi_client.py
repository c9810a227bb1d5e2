"""A small iSCSI initiator in plain Python: one connection, one LUN, as many commands in flight as one likes.

It is lazy where the standard lets it be (no digests, no error recovery above level 0) and strict where a target could
be wrong: it keeps to the command window, sends what R2Ts ask for, and retries only after a unit attention.
"""

import dataclasses
import hashlib
import os
import queue
import socket
import struct
import threading

import iscsi_pdu as pdu
from session import Refused, Reply, receive_exactly

INITIATOR = "iqn.2026-11.dev.tidemark.tests:initiator"
BLOCK_BYTES_READ_MAX = 1 << 20
FIRST_BURST, MAX_BURST, SEGMENT = 64 << 10, 256 << 10, 256 << 10
"""A long write sends its first 64 KiB at once and waits for R2Ts with the rest: both ways are tried."""
TIMEOUT_S = 60
LOGIN_EXCHANGES_MAX = 16
DIGESTS = {"5": "md5", "6": "sha1", "7": "sha256", "8": "sha3_256"}
NOT_READY, UNIT_ATTENTION = 0x02, 0x06
GOOD, CHECK_CONDITION, BUSY, TASK_ABORTED = 0x00, 0x02, 0x08, 0x40
RETRIES_MAX = 8


class LoginRefused(Refused):
    """The target did not let the initiator in; `status` is the class and the detail."""

    def __init__(self, status):
        super().__init__(f"the login was refused with status {status:#06x}")
        self.status = status


@dataclasses.dataclass
class Chap:
    """How to authenticate. `digest` is the number of CHAP_A; with `own_user` the target must prove itself too."""

    user: str
    secret: str
    digest: str = "7"
    own_user: str = None
    own_secret: str = None


@dataclasses.dataclass
class Task:
    """A command in flight."""

    cookie: object
    cdb: bytes
    out: bytes = b""
    expected: int = 0
    data: bytearray = None
    retries: int = 0


class Session:
    """A session with one target; without a target, a discovery session."""

    def __init__(self, portal, target=None, lun=0, initiator=INITIATOR, chap=None):
        self.socket = socket.create_connection(portal, TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lun = struct.pack(">HHI", lun if lun < 256 else 0x4000 | lun, 0, 0)
        self._numbers = pdu.Numbers()
        self._window = threading.Condition()
        self._out, self._writer = queue.SimpleQueue(), None
        self._tasks, self._next_tag = {}, 1
        self._keys = {"MaxRecvDataSegmentLength": "8192", "MaxBurstLength": "262144", "FirstBurstLength": "65536"}
        self._keys["ImmediateData"] = "Yes"
        self.size = self.block_len = None
        self.attentions = []
        """The codes of the unit attentions that were told so far."""
        try:
            self._log_in(target, initiator, chap)
        except BaseException:
            self.socket.close()
            raise
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    # ---------------------------------------------------------------- login

    def _log_in(self, target, initiator, chap):
        isid = b"\x80" + os.urandom(5)
        self._isid = isid
        keys = {"InitiatorName": initiator, "SessionType": "Normal" if target else "Discovery"}
        if target:
            keys["TargetName"] = target
        if chap:
            self._authenticate(keys | {"AuthMethod": "CHAP"}, chap)
        else:
            answer, is_through = self._exchange(0, 1, keys | {"AuthMethod": "None"})
            if not is_through:
                raise Refused(f"the target wants more than no authentication: {answer}")
        wanted = {"HeaderDigest": "None", "DataDigest": "None", "MaxRecvDataSegmentLength": str(SEGMENT)}
        if target:
            wanted |= {"MaxConnections": "1", "InitialR2T": "Yes", "ImmediateData": "Yes", "ErrorRecoveryLevel": "0"}
            wanted |= {"FirstBurstLength": str(FIRST_BURST), "MaxBurstLength": str(MAX_BURST)}
            wanted |= {"MaxOutstandingR2T": "1", "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes"}
        for _ in range(LOGIN_EXCHANGES_MAX):
            answer, is_through = self._exchange(1, 3, wanted)
            self._keys |= answer
            if is_through:
                return
            wanted = {}
        raise Refused("the login does not come to an end")

    def _authenticate(self, keys, chap):
        answer, is_through = self._exchange(0, None, keys)
        if answer.get("AuthMethod") != "CHAP":
            raise Refused(f"CHAP was offered, the target chose {answer.get('AuthMethod')}")
        answer, _ = self._exchange(0, None, {"CHAP_A": chap.digest})
        if answer.get("CHAP_A") != chap.digest:
            raise Refused(f"CHAP digest {chap.digest} was offered, the target chose {answer.get('CHAP_A')}")
        response = chap_response(chap.digest, answer["CHAP_I"], chap.secret, answer["CHAP_C"])
        keys = {"CHAP_N": chap.user, "CHAP_R": "0x" + response.hex()}
        challenge = "0x" + os.urandom(16).hex()
        if chap.own_user:
            keys |= {"CHAP_I": "77", "CHAP_C": challenge}
        answer, is_through = self._exchange(0, 1, keys)
        if not is_through:
            raise Refused("the target does not go on after a CHAP response")
        if chap.own_user:
            expected = chap_response(chap.digest, "77", chap.own_secret, challenge)
            if answer.get("CHAP_N") != chap.own_user or pdu.binary(answer.get("CHAP_R", "0x")) != expected:
                raise Refused("the target could not prove itself")

    def _exchange(self, stage, next_stage, keys):
        """One login request and its answer: (keys, whether the next stage is reached)."""
        self.socket.sendall(pdu.login(self._isid, stage, next_stage, keys, self._numbers))
        head, data = self._receive()
        if head[0] & 0x3F != pdu.LOGIN_RESPONSE:
            raise Refused(f"a login was answered with a PDU of kind {head[0] & 0x3F:#x}")
        if head[36]:
            raise LoginRefused(struct.unpack(">H", head[36:38])[0])
        return pdu.parse_keys(data), bool(head[1] & 0x80)

    # ---------------------------------------------------------------- sending

    def _write(self):
        """All sending is this thread's, so that receiving never waits for it."""
        try:
            while (data := self._out.get()) is not None:
                self.socket.sendall(data)
        except OSError:
            pass

    def _submit(self, task, may_wait=True):
        with self._window:
            if may_wait and not self._window.wait_for(self._numbers.may_send, TIMEOUT_S):
                raise Refused("the command window stays closed")
            tag, self._next_tag = self._next_tag, (self._next_tag + 1) & 0x7FFFFFFF
            self._tasks[tag] = task
            task.data = bytearray(task.expected)
            immediate = b""
            if task.out and self._keys["ImmediateData"] == "Yes":
                limits = (len(task.out), self._segment(), int(self._keys["FirstBurstLength"]))
                immediate = task.out[: min(limits)]
            self._out.put(pdu.command(self._lun, tag, task, immediate, self._numbers))

    def _segment(self):
        return int(self._keys["MaxRecvDataSegmentLength"])

    def _answer_r2t(self, head):
        tag, target_tag = struct.unpack(">II", head[16:24])
        offset, length = struct.unpack(">II", head[40:48])
        task = self._tasks[tag]
        if offset + length > len(task.out) or length == 0:
            raise Refused(f"an R2T asks for {length} bytes at {offset} of {len(task.out)}")
        end, number = offset + length, 0
        while offset < end:
            part = task.out[offset : min(end, offset + self._segment())]
            is_last = offset + len(part) == end
            self._out.put(pdu.data_out(self._lun, tag, target_tag, number, offset, part, is_last, self._numbers))
            offset, number = offset + len(part), number + 1

    def read(self, cookie, offset, length):
        """Sends READ(16)."""
        self._submit(Task(cookie, self._cdb(0x88, 0, offset, length), expected=length))

    def write(self, cookie, offset, data, is_durable=False):
        """Sends WRITE(16), with FUA if it must be durable when it is answered."""
        self._submit(Task(cookie, self._cdb(0x8A, 0x08 if is_durable else 0, offset, len(data)), out=data))

    def zero(self, cookie, offset, length, may_unmap=True):
        """Sends WRITE SAME(16) of zeroes."""
        cdb = self._cdb(0x93, 0x08 if may_unmap else 0, offset, length)
        self._submit(Task(cookie, cdb, out=bytes(self.block_len)))

    def flush(self, cookie):
        """Sends SYNCHRONIZE CACHE(16) for everything."""
        self._submit(Task(cookie, self._cdb(0x91, 0, 0, 0)))

    def _cdb(self, code, flags, offset, length):
        return struct.pack(">BBQIBB", code, flags, offset // self.block_len, length // self.block_len, 0, 0)

    # ---------------------------------------------------------------- receiving

    def _receive(self):
        head = receive_exactly(self.socket, pdu.HEAD_LEN)
        length = int.from_bytes(head[5:8])
        data = receive_exactly(self.socket, head[4] * 4 + length + -length % 4)
        data = bytes(data[head[4] * 4 :][:length])
        with self._window:
            self._numbers.learn(head)
            self._window.notify_all()
        return head, data

    def receive_reply(self):
        """The answer to one of the commands in flight; EOFError at the session's end."""
        while True:
            head, data = self._receive()
            kind = head[0] & 0x3F
            if kind == pdu.R2T:
                self._answer_r2t(head)
            elif kind == pdu.DATA_IN:
                self._take_data(head, data)
                if head[1] & 1 and (reply := self._end(head, b"")):
                    return reply
            elif kind == pdu.RESPONSE:
                if reply := self._end(head, data[2:]):
                    return reply
            elif kind == pdu.NOP_IN:
                if head[20:24] != pdu.NO_TAG:
                    self._out.put(pdu.nop_out(head, self._numbers))
            elif kind == pdu.LOGOUT_RESPONSE:
                raise EOFError
            elif kind != pdu.ASYNC:
                raise Refused(f"an unexpected PDU of kind {kind:#x}: {bytes(head).hex()}")

    def _take_data(self, head, data):
        task = self._tasks[struct.unpack(">I", head[16:20])[0]]
        offset = struct.unpack(">I", head[40:44])[0]
        if offset + len(data) > len(task.data):
            raise Refused(f"{len(data)} bytes at {offset} of {len(task.data)} that were asked for")
        task.data[offset : offset + len(data)] = data

    def _end(self, head, sense):
        """The reply to a command; None if it is sent once more."""
        task = self._tasks.pop(struct.unpack(">I", head[16:20])[0])
        status = head[3]
        key, code = pdu.sense_code(sense)
        if status == CHECK_CONDITION and key == UNIT_ATTENTION and task.retries < RETRIES_MAX:
            self.attentions.append(code)
            task.retries += 1
            self._submit(task, may_wait=False)
            return None
        if head[1] & 2:
            del task.data[len(task.data) - struct.unpack(">I", head[44:48])[0] :]
        if status == GOOD and head[2] in (0, 0x80):
            return Reply(task.cookie, bytes(task.data))
        is_ending = status in (BUSY, TASK_ABORTED) or (status == CHECK_CONDITION and key == NOT_READY)
        error = f"command {task.cdb[0]:#x}: status {status:#04x}, sense {key:#x}/{code:04x}"
        return Reply(task.cookie, bytes(task.data), error, is_ending)

    # ---------------------------------------------------------------- one thing at a time

    def run(self, cdb, out=b"", expected=0):
        """One command while nothing else is in flight; its data. Raises Refused if it fails."""
        self._submit(Task(None, cdb, out, expected))
        reply = self.receive_reply()
        if reply.error:
            raise Refused(reply.error)
        return reply.data

    def measure(self):
        """Asks for the capacity; sets `size` and `block_len`."""
        data = self.run(struct.pack(">BBQIBB", 0x9E, 0x10, 0, 32, 0, 0), expected=32)
        last, self.block_len = struct.unpack(">QI", data[:12])
        self.size = (last + 1) * self.block_len
        return self

    def luns(self):
        """The LUNs that the target shows to this initiator."""
        data = self.run(struct.pack(">BBBBHIBB", 0xA0, 0, 0, 0, 0, 4096, 0, 0), expected=4096)
        count = struct.unpack(">I", data[:4])[0] // 8
        return [struct.unpack(">H", data[8 + 8 * at : 10 + 8 * at])[0] & 0x3FFF for at in range(count)]

    def targets(self):
        """What SendTargets tells: the targets' names."""
        self._out.put(pdu.text({"SendTargets": "All"}, self._numbers))
        head, data = self._receive()
        if head[0] & 0x3F != pdu.TEXT_RESPONSE:
            raise Refused(f"SendTargets was answered with a PDU of kind {head[0] & 0x3F:#x}")
        pairs = [part.split("=", 1) for part in data.decode().split("\0") if part]
        return [value for key, value in pairs if key == "TargetName"]

    def read_all(self):
        """The whole content; nothing else may be in flight."""
        content = bytearray()
        while len(content) < self.size:
            length = min(BLOCK_BYTES_READ_MAX, self.size - len(content))
            content += self.run(self._cdb(0x88, 0, len(content), length), expected=length)
        return bytes(content)

    def close(self):
        """Logs out where that is still possible."""
        try:
            if self._writer:
                self._out.put(pdu.logout(self._numbers))
                self._out.put(None)
                while True:
                    self.receive_reply()
        except (EOFError, OSError, Refused, KeyError):
            pass
        self._out.put(None)
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def chap_response(digest, identifier, secret, challenge):
    """What proves that one knows the secret. Source: RFC 1994 4.1."""
    text = bytes([int(identifier, 0)]) + secret.encode() + pdu.binary(challenge)
    return hashlib.new(DIGESTS[digest], text, usedforsecurity=False).digest()
