// What clients did in the last minutes: how much, and how long they waited. The appliance measures; this draws.

import { useState } from "preact/hooks";
import { clock, latency, size } from "../format";
import { useLive } from "../live";
import type { Done, Traffic, TrafficPoint } from "../types";
import { Trouble } from "./bits";

const POLL_MS = 2000;
const WIDTH = 600;
const HEIGHT = 120;
/** Latencies of the chart reach over two powers of ten at least, in microseconds. */
const LEAST_DECADES = 2;

interface Series {
  key: "read" | "write";
  label: string;
  /** Faint, beside the one that matters more. */
  isUsual?: boolean;
  of: (point: TrafficPoint) => number | undefined;
}

interface Scale {
  /** From 0 at the bottom to 1 at the top. */
  height: (value: number) => number;
  lines: [number, string][];
}

const perSecond = (done: Done, point: TrafficPoint) => (done.bytes * 1000) / Math.max(1, point.len_ms);

const RATES: Series[] = [
  { key: "read", label: "read", of: (point) => perSecond(point.read, point) },
  { key: "write", label: "written", of: (point) => perSecond(point.write, point) },
];
const WAITS: Series[] = [
  { key: "read", label: "read, half within", isUsual: true, of: (point) => point.read.p50_us },
  { key: "write", label: "write, half within", isUsual: true, of: (point) => point.write.p50_us },
  { key: "read", label: "read, 99 % within", of: (point) => point.read.p99_us },
  { key: "write", label: "write, 99 % within", of: (point) => point.write.p99_us },
];

const rate = (bytes: number) => `${size(Math.round(bytes))}/s`;

/** Up to the next round size. */
function rateScale(values: number[]): Scale {
  const most = Math.max(1024, ...values);
  const unit = 1024 ** Math.floor(Math.log(most) / Math.log(1024));
  const steps = [1, 2, 4, 6, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1024];
  const top = unit * (steps.find((step) => step * unit >= most) ?? 1024);
  return {
    height: (value) => value / top,
    lines: [0, top / 2, top].map((value) => [value, value === 0 ? "0" : rate(value)]),
  };
}

/** From a power of ten to another: what is fast and what is slow are both seen. */
function waitScale(values: number[]): Scale {
  const least = Math.floor(Math.log10(Math.max(1, Math.min(...values, 1e4))));
  const most = Math.ceil(Math.log10(Math.max(10, ...values)));
  const end = Math.max(most, least + LEAST_DECADES);
  const lines: [number, string][] = [];
  for (let power = least; power <= end; power += end - least > 6 ? 2 : 1) {
    lines.push([10 ** power, latency(10 ** power)]);
  }
  return { height: (value) => (Math.log10(Math.max(1, value)) - least) / (end - least), lines };
}

/** The moments of a chart, with what was between two steps of something: nothing. */
function filled({ points, step_ms }: Traffic): TrafficPoint[] {
  const none: Done = { count: 0, bytes: 0 };
  const nothing = (at_ms: number): TrafficPoint => ({ at_ms, len_ms: step_ms, read: none, write: none });
  return points.flatMap((point, n) => {
    const before = points[n - 1]?.at_ms;
    const after = points[n + 1]?.at_ms;
    const isAlone = (other: number | undefined) =>
      other === undefined || Math.abs(point.at_ms - other) > 1.75 * step_ms;
    return [
      ...(before !== undefined && isAlone(before) ? [nothing(point.at_ms - step_ms)] : []),
      point,
      ...(after !== undefined && isAlone(after) ? [nothing(point.at_ms + step_ms)] : []),
    ];
  });
}

interface ChartProps {
  title: string;
  traffic: Traffic;
  series: Series[];
  scaled: (values: number[]) => Scale;
  written: (value: number) => string;
  /** What stands where there is no value. */
  none: string;
}

function Chart({ title, traffic, series, scaled, written, none }: ChartProps) {
  const [pointed, point] = useState<number | null>(null);
  const span = traffic.step_ms * traffic.steps_kept;
  const from = traffic.now_ms - span;
  const points = filled(traffic).filter((one) => one.at_ms >= from);
  const values = series.flatMap(({ of }) => points.map(of)).filter((value) => value !== undefined);
  const scale = scaled(values);
  const x = (at: number) => ((at - from) / span) * WIDTH;
  const y = (value: number) => HEIGHT - Math.max(0, Math.min(1, scale.height(value))) * HEIGHT;
  const path = ({ of }: Series) => {
    let isOn = false;
    return points
      .map((one) => {
        const value = of(one);
        const step =
          value === undefined ? "" : `${isOn ? "L" : "M"}${x(one.at_ms).toFixed(1)} ${y(value).toFixed(1)}`;
        // A round end makes a dot of a line without length.
        const dot = value !== undefined && !isOn ? "h0" : "";
        isOn = value !== undefined;
        return step + dot;
      })
      .join("");
  };
  const last = points.at(-1);
  const isFresh = last !== undefined && traffic.now_ms - last.at_ms < 2.5 * traffic.step_ms;
  const shown = pointed === null ? (isFresh ? last : undefined) : nearest(points, pointed, traffic.step_ms);
  const text = (one: Series) => {
    const value = shown && one.of(shown);
    return value === undefined ? none : written(value);
  };
  const said = series.map((one) => `${one.label} ${text(one)}`).join(", ");
  const move = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    point(from + ((event.clientX - box.left) / box.width) * span);
  };
  return (
    <figure class="chart">
      <figcaption>
        {series.map((one) => (
          <span key={one.label} class={`${one.key} ${one.isUsual ? "usual" : ""}`}>
            <span class="faint">{one.label}</span> <strong>{text(one)}</strong>
          </span>
        ))}
      </figcaption>
      <div class="area" onPointerMove={move} onPointerLeave={() => point(null)}>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${title}: ${said}`}
        >
          {scale.lines.map(([value]) => (
            <line key={value} class="grid" x1="0" x2={WIDTH} y1={y(value)} y2={y(value)} />
          ))}
          {series.map((one) => (
            <path key={one.label} class={`${one.key} ${one.isUsual ? "usual" : ""}`} d={path(one)} />
          ))}
          {pointed !== null && <line class="pointer" x1={x(pointed)} x2={x(pointed)} y1="0" y2={HEIGHT} />}
        </svg>
        <ul class="scale" aria-hidden="true">
          {scale.lines.map(([value, label]) => (
            <li key={value} style={{ bottom: `${(1 - y(value) / HEIGHT) * 100}%` }}>
              {label}
            </li>
          ))}
        </ul>
        {values.length === 0 && (
          <p class="nothing">Nobody has read or written in the last {minutes(span)}.</p>
        )}
      </div>
      <div class="times" aria-hidden="true">
        <span>{minutes(span)} ago</span>
        <span>{pointed === null ? "now" : clock(pointed)}</span>
      </div>
    </figure>
  );
}

function minutes(ms: number): string {
  return `${Math.round(ms / 60_000)} min`;
}

/** The step at a moment, where there is one. */
function nearest(points: TrafficPoint[], at: number, step_ms: number): TrafficPoint | undefined {
  return points.find((one) => Math.abs(one.at_ms - at) <= step_ms / 2);
}

/** Throughput and latency of a volume, or of all disks together. */
export function Load({ volume }: { volume?: string }) {
  const path = volume ? `/volumes/${encodeURIComponent(volume)}/traffic` : "/traffic";
  const { value: traffic, problem } = useLive<Traffic>(path, POLL_MS);
  if (problem && !traffic) return <Trouble problem={problem} what="traffic" />;
  if (!traffic) return null;
  return (
    <div class="columns">
      <section class="card" aria-labelledby="throughput">
        <div class="cardhead">
          <h2 id="throughput">Throughput</h2>
          <span class="faint">{volume ? "whatever the door" : "all disks"}</span>
        </div>
        <Chart
          title="Throughput"
          traffic={traffic}
          series={RATES}
          scaled={rateScale}
          written={rate}
          none="0"
        />
      </section>
      <section class="card" aria-labelledby="latency">
        <div class="cardhead">
          <h2 id="latency">Latency</h2>
          <span class="faint">inside the appliance</span>
        </div>
        <Chart
          title="Latency"
          traffic={traffic}
          series={WAITS}
          scaled={waitScale}
          written={latency}
          none="–"
        />
      </section>
    </div>
  );
}
