"""Mails that look like mail: threads, attachments, several languages and encodings; the same for the same seed."""

import dataclasses
import email.message
import email.policy
import email.utils
import hashlib
import random

LEDGER_HEADER = "X-Ledger-Id"
"""The first header of every message; a server puts its own before it, so content is compared from there on."""

USERS = tuple(f"user{index}" for index in range(8))
FOLDER = "projects"
FOLDER_USER = "user3"
"""Some of this user's mail goes to a folder."""

POLICY_7BIT = email.policy.SMTP
POLICY_8BIT = email.policy.SMTP.clone(cte_type="8bit")

PEOPLE = (
    ("Anna Lindqvist", "anna@lindqvist.example"),
    ("Jürgen Groß", "j.gross@werft.example"),
    ("María Peña", "maria.pena@puerto.example"),
    ("佐藤 健", "sato@minato.example"),
    ("Олена Коваль", "olena@port.example"),
    ("Priya Raman", "priya@dock.example"),
)
SUBJECTS = (
    "Tide tables for next week",
    "Rechnung Nr. 2024-118 – bitte prüfen",
    "Réunion de mardi: ordre du jour",
    "来週の会議について",
    "Звіт за квартал",
    "Fwd: berth allocation",
    "Please sign by Friday",
)
VOCABULARY = (
    "harbour tide ledger invoice anchor berth pilot signal weather cargo manifest schedule meeting "
    "größe élan niño 港 潮 море вітер attachment please regards tomorrow figures revised draft"
)
WORDS = VOCABULARY.split()


@dataclasses.dataclass(frozen=True)
class Message:
    """One mail and where it goes."""

    identifier: str
    user: str
    folder: str
    content: bytes
    """As sent: CRLF line ends, the ledger's header first."""

    @property
    def recipient(self):
        """The envelope's recipient; a folder is its detail."""
        return self.user if self.folder == "INBOX" else f"{self.user}+{self.folder}"

    @property
    def digest(self):
        """sha256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


def generate(count, seed):
    """Yields that many messages."""
    chance = random.Random(seed)
    threads = []
    for index in range(count):
        identifier = f"{index:06}.{chance.getrandbits(64):016x}"
        user = chance.choice(USERS)
        folder = FOLDER if user == FOLDER_USER and chance.random() < 0.5 else "INBOX"
        body = _compose(chance, identifier, user, threads)
        policy = POLICY_8BIT if chance.random() < 0.3 else POLICY_7BIT
        content = f"{LEDGER_HEADER}: {identifier}\r\n".encode() + body.as_bytes(policy=policy)
        if not content.endswith(b"\r\n"):
            content += b"\r\n"
        yield Message(identifier, user, folder, content)


def _compose(chance, identifier, user, threads):
    """A message of a random kind; a third of them answer an earlier one."""
    message = email.message.EmailMessage()
    message_id = f"<{identifier}@mail.example>"
    sender = chance.choice(PEOPLE)
    message["Message-ID"] = message_id
    message["Date"] = email.utils.format_datetime(email.utils.parsedate_to_datetime("Mon, 04 Mar 2024 08:00:00 +0100"))
    message["From"] = email.utils.formataddr(sender)
    message["To"] = f"{user}@tidemark.example"
    if threads and chance.random() < 0.33:
        subject, references = chance.choice(threads)
        message["Subject"] = f"Re: {subject}"
        message["In-Reply-To"] = references[-1]
        message["References"] = " ".join(references)
        threads.append((subject, [*references[-5:], message_id]))
    else:
        subject = chance.choice(SUBJECTS)
        message["Subject"] = subject
        threads.append((subject, [message_id]))
    chance.choice(KINDS)(chance, message)
    return message


def _text(chance, line_count):
    lines = [" ".join(chance.choices(WORDS, k=chance.randrange(3, 14))) for _ in range(line_count)]
    lines[chance.randrange(len(lines))] = "."
    lines[chance.randrange(len(lines))] = ".. two dots, and From here on:"
    return "\n".join(lines) + "\n"


def _plain(chance, message):
    message.set_content(_text(chance, chance.randrange(3, 60)))


def _quoted_printable(chance, message):
    message.set_content(_text(chance, chance.randrange(3, 60)), cte="quoted-printable")


def _newsletter(chance, message):
    text = _text(chance, 30)
    paragraphs = "".join(f"<p>{line}</p>\n" for line in text.splitlines())
    message.set_content(text)
    message.add_alternative(f"<html><body>\n{paragraphs}</body></html>\n", subtype="html")
    picture = b"\x89PNG\r\n\x1a\n" + chance.randbytes(chance.randrange(2000, 20000))
    message.get_payload()[1].add_related(picture, "image", "png", cid="<logo@mail.example>")


def _invoice(chance, message):
    message.set_content(_text(chance, 8))
    document = b"%PDF-1.4\n" + chance.randbytes(chance.randrange(10_000, 150_000)) + b"\n%%EOF\n"
    message.add_attachment(document, maintype="application", subtype="pdf", filename="Rechnung für März.pdf")


def _spreadsheet(chance, message):
    message.set_content(_text(chance, 5))
    rows = "".join(f"{row};{chance.random():.6f};{chance.choice(WORDS)}\n" for row in range(2000))
    message.add_attachment(rows, subtype="csv", filename="figures.csv")


def _forward(chance, message):
    inner = email.message.EmailMessage()
    inner["From"], inner["To"] = "sender@elsewhere.example", "list@elsewhere.example"
    inner["Subject"] = chance.choice(SUBJECTS)
    _plain(chance, inner)
    message.set_content(_text(chance, 4))
    message.add_attachment(inner)


def _photographs(chance, message):
    message.set_content("")
    for index in range(chance.randrange(1, 4)):
        picture = b"\xff\xd8\xff\xe0" + chance.randbytes(chance.randrange(20_000, 120_000)) + b"\xff\xd9"
        message.add_attachment(picture, maintype="image", subtype="jpeg", filename=f"IMG_{index:04}.jpg")


KINDS = (_plain, _plain, _quoted_printable, _newsletter, _invoice, _spreadsheet, _forward, _photographs)
