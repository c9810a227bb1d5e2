// When something will be full, in words; and a picture of what takes the room of the pool.

import { day, percent, size, span } from "../format";
import type { Capacity, Forecast } from "../types";
import { Badge } from "./bits";

/** "10 Mar 2027, between 2 Mar and 1 Apr 2027". */
export function whenFull(forecast: Forecast, now: number): string {
  const { outlook, earliest_ms, likely_ms, latest_ms, enough_ms } = forecast;
  if (outlook === "full") return "full now";
  if (outlook === "never") return "never full at this rate";
  if (outlook === "not_enough_history" || !likely_ms) {
    const wait = enough_ms && enough_ms > now ? `; a forecast in ${span(enough_ms - now)}` : "";
    return `not enough history yet${wait}`;
  }
  const likely = `likely full on ${day(likely_ms)}`;
  if (!earliest_ms) return likely;
  if (!latest_ms) return `${likely}, ${day(earliest_ms)} at the earliest`;
  if (day(earliest_ms) === day(latest_ms)) return likely;
  return `${likely}, between ${day(earliest_ms)} and ${day(latest_ms)}`;
}

/** "+1.2G a day". */
export function pace(bytes: number | undefined): string {
  if (bytes === undefined) return "";
  if (bytes === 0) return "stands";
  return `${bytes < 0 ? "−" : "+"}${size(Math.abs(bytes))} a day`;
}

const SOON_DAYS = 14;
const DAY_MS = 86_400_000;

/** The same in short, with a colour where it is soon. */
export function Full({ forecast, now }: { forecast: Forecast; now: number }) {
  const { outlook, likely_ms } = forecast;
  if (outlook === "full") return <Badge tone="bad">full</Badge>;
  if (outlook === "never") return <span class="faint">never at this rate</span>;
  if (outlook === "not_enough_history" || !likely_ms)
    return <span class="faint">not enough history yet</span>;
  const isSoon = likely_ms - now < SOON_DAYS * DAY_MS;
  return (
    <span title={whenFull(forecast, now)}>
      {isSoon ? <Badge tone="warn">in {span(likely_ms - now)}</Badge> : day(likely_ms)}
      <Range forecast={forecast} />
    </span>
  );
}

function Range({ forecast: { earliest_ms, latest_ms } }: { forecast: Forecast }) {
  if (!earliest_ms || (latest_ms && day(earliest_ms) === day(latest_ms))) return null;
  return (
    <small class="path">
      {latest_ms ? `${day(earliest_ms)} to ${day(latest_ms)}` : `${day(earliest_ms)} at the earliest`}
    </small>
  );
}

type Pool = Capacity["pool"];

const PARTS: [string, string, (pool: Pool) => number][] = [
  ["base", "Volumes and views", (pool) => pool.base_bytes],
  ["preserved", "Preserved for marks", (pool) => pool.preserved_bytes],
  ["journal", "Journal and reserve", (pool) => pool.journal_bytes + pool.reserve_bytes],
  ["other", "Everything else", (pool) => pool.other_bytes],
  ["free", "Free", (pool) => pool.free_bytes],
];

/** What takes the room where the pool lies, as one bar and in numbers. */
export function Parts({ pool }: { pool: Pool }) {
  const whole = Math.max(pool.total_bytes, 1);
  let before = 0;
  const parts = PARTS.map(([key, label, of]) => {
    const from = before;
    before += (of(pool) / whole) * 100;
    return { key, label, bytes: of(pool), from, to: Math.min(before, 100) };
  });
  const said = parts.map(({ label, bytes }) => `${label} ${percent(bytes, whole)}`).join(", ");
  return (
    <>
      <svg class="parts" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={said}>
        {parts.map(({ key, from, to }) => (
          <rect key={key} class={key} x={from} width={Math.max(0, to - from)} height="10" />
        ))}
      </svg>
      <ul class="partlist">
        {parts.map(({ key, label, bytes }) => (
          <li key={key} class={key}>
            <span>{label}</span>
            <strong>{size(bytes)}</strong>
            <span class="faint">{percent(bytes, whole)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
