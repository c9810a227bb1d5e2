// A chart of what was in use, and of what is to come: the likely line within its range.

import { day, moment, size } from "../format";
import type { Forecast, Point } from "../types";
import { whenFull } from "./outlook";

const WIDTH = 1000;
const HEIGHT = 240;
/** Within this the hour tells more than the day. */
const SHORT_MS = 2 * 86_400_000;
/** Rows of the table of numbers. */
const ROWS = 12;

interface Place {
  x: number;
  y: number;
}

/** What the chart shows of the time to come: as much as there is of the past, or less where it is full before. */
function endOf(points: Point[], { likely_ms, latest_ms }: Forecast, now: number): number {
  const past = Math.max(now - (points[0]?.at_ms ?? now), 3_600_000);
  const full = latest_ms ?? likely_ms;
  const ahead = full ? (full - now) * 1.15 : past / 3;
  return now + Math.min(Math.max(ahead, past / 4), past);
}

export function History({ points, forecast, now }: { points: Point[]; forecast: Forecast; now: number }) {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last) return null;
  const end = endOf(points, forecast, now);
  const edge = end - first.at_ms < SHORT_MS ? moment : day;
  const top = Math.max(...points.map((point) => point.size_bytes), 1) * 1.06;
  const x = (at: number) => ((at - first.at_ms) / Math.max(end - first.at_ms, 1)) * WIDTH;
  const y = (bytes: number) => HEIGHT - (Math.min(bytes, top) / top) * HEIGHT;
  const line = (of: (point: Point) => number) =>
    points.map((point) => `${x(point.at_ms).toFixed(1)},${y(of(point)).toFixed(1)}`).join(" ");
  const used = line((point) => point.used_bytes);
  const start: Place = { x: x(now), y: y(last.used_bytes) };
  const room = last.size_bytes - last.used_bytes;
  /** Where the line that is full at a moment ends within the chart, and whether it is full there. */
  const towards = (full: number | undefined): Place => {
    const rate = full ? room / Math.max(full - now, 1) : 0;
    const until = full ? Math.min(full, end) : end;
    return { x: x(until), y: y(last.used_bytes + rate * (until - now)) };
  };
  const at = ({ x, y }: Place) => `${x.toFixed(1)},${y.toFixed(1)}`;
  const isForeseen = forecast.outlook === "fills";
  const early = towards(forecast.earliest_ms);
  const late = towards(forecast.latest_ms);
  const range = [start, early, { x: Math.max(early.x, late.x), y: early.y }, late].map(at).join(" ");
  const said =
    `From ${day(first.at_ms)} to now, from ${size(first.used_bytes)} to ${size(last.used_bytes)} in use of ` +
    `${size(last.size_bytes)}; ${whenFull(forecast, now)}`;
  return (
    <figure class="history">
      <figcaption class="legend">
        <span class="used">in use</span>
        <span class="preserved">preserved for marks</span>
        <span class="room">size</span>
        {isForeseen && <span class="likely">forecast and its range</span>}
      </figcaption>
      <div class="plot">
        <span class="top">{size(last.size_bytes)}</span>
        <span class="nowat" style={{ left: `${start.x / (WIDTH / 100)}%` }}>
          now
        </span>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={said}>
          <polygon class="used" points={`${used} ${at(start)} ${start.x},${HEIGHT} 0,${HEIGHT}`} />
          {isForeseen && <polygon class="range" points={range} />}
          <polyline
            class="room"
            points={`${line((point) => point.size_bytes)} ${WIDTH},${y(last.size_bytes)}`}
          />
          <polyline class="preserved" points={line((point) => point.preserved_bytes)} />
          <polyline class="used" points={`${used} ${at(start)}`} />
          {isForeseen && (
            <polyline class="likely" points={`${at(start)} ${at(towards(forecast.likely_ms))}`} />
          )}
          <line class="now" x1={start.x} x2={start.x} y1="0" y2={HEIGHT} />
        </svg>
        <div class="times">
          <span>{edge(first.at_ms)}</span>
          <span>{edge(end)}</span>
        </div>
      </div>
      <details>
        <summary>The numbers</summary>
        <Numbers points={points} />
      </details>
    </figure>
  );
}

function Numbers({ points }: { points: Point[] }) {
  const step = Math.max(1, Math.ceil(points.length / ROWS));
  const shown = [...points].reverse().filter((_, index) => index % step === 0);
  return (
    <table class="list">
      <thead>
        <tr>
          <th>When</th>
          <th class="number">In use</th>
          <th class="number">Of</th>
          <th class="number">Preserved</th>
        </tr>
      </thead>
      <tbody>
        {shown.map((point) => (
          <tr key={point.at_ms}>
            <td data-label="When">{moment(point.at_ms)}</td>
            <td data-label="In use" class="number">
              {size(point.used_bytes)}
            </td>
            <td data-label="Of" class="number">
              {size(point.size_bytes)}
            </td>
            <td data-label="Preserved" class="number">
              {size(point.preserved_bytes)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
