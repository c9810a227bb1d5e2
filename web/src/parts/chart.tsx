// A live chart of two rates: bytes read and written in a second, as the sessions count them.

import { useEffect, useRef, useState } from "preact/hooks";
import { size } from "../format";
import type { Client } from "../types";

const POINTS = 60;

interface Point {
  at: number;
  read: number;
  written: number;
}

export function Throughput({ clients }: { clients: Client[] }) {
  const before = useRef<{ at: number; all: Map<number, Client> } | null>(null);
  const [points, add] = useState<Point[]>([]);
  useEffect(() => {
    const at = Date.now();
    const last = before.current;
    before.current = { at, all: new Map(clients.map((client) => [client.id, client])) };
    if (!last || at - last.at < 500) return;
    let read = 0;
    let written = 0;
    for (const client of clients) {
      const old = last.all.get(client.id);
      read += client.read_bytes - (old?.read_bytes ?? 0);
      written += client.written_bytes - (old?.written_bytes ?? 0);
    }
    const seconds = (at - last.at) / 1000;
    add((all) => [...all, { at, read: read / seconds, written: written / seconds }].slice(-POINTS));
  }, [clients]);
  const top = Math.max(1024, ...points.map((point) => Math.max(point.read, point.written)));
  const line = (key: "read" | "written") =>
    points
      .map((p, i) => `${100 - (points.length - 1 - i) * (100 / (POINTS - 1))},${39 - (p[key] / top) * 36}`)
      .join(" ");
  const last = points.at(-1);
  return (
    <figure class="chart">
      <figcaption>
        <span class="read">read {size(Math.round(last?.read ?? 0))}/s</span>
        <span class="written">written {size(Math.round(last?.written ?? 0))}/s</span>
        <span class="faint">top of the chart {size(Math.round(top))}/s</span>
      </figcaption>
      <svg viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">
        <line x1="0" x2="100" y1="39" y2="39" />
        <polyline class="read" points={line("read")} />
        <polyline class="written" points={line("written")} />
      </svg>
    </figure>
  );
}
