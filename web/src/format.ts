// Numbers, sizes and times as people read them.

const UNITS = ["B", "K", "M", "G", "T", "P"];

/** 4294967296 -> "4G", as the command line writes it. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)}${UNITS[unit]}`;
}

/** "200G" -> bytes; nothing where it is not a size. */
export function parseSize(text: string): number | null {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?\s*$/i.exec(text);
  if (!found) return null;
  const unit = UNITS.indexOf((found[2] || "B").toUpperCase());
  const bytes = Math.round(Number(found[1]) * 1024 ** unit);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
}

/** "3 min ago". */
export function ago(ms: number, now: number): string {
  const text = span(now - ms);
  return text === "now" ? "just now" : `${text} ago`;
}

/** "3 min", "2 h", "5 d"; a line does not break between them. */
export function span(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 100) return `${minutes}\u00a0min`;
  const hours = Math.round(minutes / 60);
  if (hours < 48) return `${hours}\u00a0h`;
  return `${Math.round(hours / 24)}\u00a0d`;
}

/** "in 3 min". */
export function ahead(ms: number, now: number): string {
  const text = span(ms - now);
  return text === "now" ? "in a moment" : `in ${text}`;
}

const WEEKDAYS: Record<string, string> = {
  "*": "every day",
  "1-5": "Monday to Friday",
  "mon-fri": "Monday to Friday",
  ...Object.fromEntries(
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"].flatMap((name, n) => [
      [String(n), name],
      [name.slice(0, 3).toLowerCase(), name],
    ]),
  ),
};

/** "every day at 02:30" of a cron pattern; the pattern itself where it is not so simple. */
export function cronText(pattern: string): string {
  const [minute = "", hour = "", date, month, weekday = ""] = pattern.trim().toLowerCase().split(/\s+/);
  const days = WEEKDAYS[weekday];
  const isTime = /^\d{1,2}$/.test(minute) && /^\d{1,2}$/.test(hour);
  if (!isTime || !days || date !== "*" || month !== "*") return `at ${pattern}`;
  return `${days} at ${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
}

const FULL = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** "26 Nov 2026, 13:49:00", in the time zone of the browser. */
export function moment(ms: number): string {
  return FULL.format(ms);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** "13:49:00", in the time zone of the browser. */
export function clock(ms: number): string {
  return CLOCK.format(ms);
}

/** "64 µs", "1.2 ms", "3 s", of microseconds. */
export function latency(micros: number): string {
  const [value, unit] =
    micros < 1000 ? [micros, "µs"] : micros < 1e6 ? [micros / 1000, "ms"] : [micros / 1e6, "s"];
  return `${value.toFixed(value >= 10 || Number.isInteger(value) ? 0 : 1)} ${unit}`;
}

const DAY = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric" });

/** "26 Nov 2026", in the time zone of the browser. */
export function day(ms: number): string {
  return DAY.format(ms);
}

/** How much comes back: "2G", or "1G to 3G" where that is not known exactly. */
export function freed({ least_bytes, most_bytes }: { least_bytes: number; most_bytes: number }): string {
  return least_bytes === most_bytes ? size(least_bytes) : `${size(least_bytes)} to ${size(most_bytes)}`;
}

/** A percentage without digits; "under 1 %" where there is a little. */
export function percent(part: number, whole: number): string {
  if (whole <= 0) return "0 %";
  const value = (part / whole) * 100;
  if (value > 0 && value < 1) return "under 1 %";
  return `${Math.round(value)} %`;
}

/** "1 mark", "2 marks". */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** " --name value" of a command, or nothing. */
export function option(name: string, value: string | undefined): string {
  return value ? ` --${name} ${value}` : "";
}

/** A protocol as people write it. */
export function protocolName(protocol: string): string {
  const names: Record<string, string> = { nbd: "NBD", iscsi: "iSCSI", https: "HTTPS" };
  return names[protocol] ?? protocol;
}
