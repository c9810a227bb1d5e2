// The timeline: up to 256 marks on an axis of time, or side by side where their times are too uneven.
// One slider for the keyboard and for screen readers; wheel and drag for the mouse.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ago, moment, size } from "../format";
import type { Mark } from "../types";

const HEIGHT = 132;
const FLOOR = 100;
const EDGE = 18;
const RISE = { crash: 34, filesystem: 54, application: 74 } as const;
const STEPS = [
  1 / 60,
  1 / 12,
  0.25,
  0.5,
  1,
  5,
  15,
  60,
  180,
  720,
  1440,
  2880,
  10_080,
  43_200,
  129_600,
  525_600,
].map((m) => m * 60_000);

export interface TimelineProps {
  marks: Mark[];
  chosen: string | null;
  choose: (name: string) => void;
  now: number;
}

/** What a mark is, in one line. */
export function describe(mark: Mark, now: number): string {
  const parts = [
    mark.name,
    `taken ${moment(mark.taken_ms)}, ${ago(mark.taken_ms, now)}`,
    `${mark.grade}-consistent`,
  ];
  parts.push(size(mark.size));
  if (mark.is_locked) parts.push(keptUntil("locked", mark.locked_until_ms));
  if (mark.is_held) parts.push(keptUntil("held", mark.held_until_ms));
  if (mark.views.length > 0) parts.push(`viewed by ${mark.views.join(", ")}`);
  return parts.join("; ");
}

/** "held", or "held until 1 Mar 2027, 02:30:00". */
export function keptUntil(word: string, end_ms: number | null): string {
  return end_ms === null ? word : `${word} until ${moment(end_ms)}`;
}

export function Timeline({ marks, chosen, choose, now }: TimelineProps) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  const [isEven, setEven] = useState(false);
  const [zoom, setZoom] = useState(1);
  const [left, setLeft] = useState(0);
  const index = marks.findIndex((mark) => mark.name === chosen);

  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => entry && setWidth(Math.max(200, entry.contentRect.width)));
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);

  const first = marks[0]?.taken_ms ?? now;
  const last = Math.max(now, marks.at(-1)?.taken_ms ?? now);
  const shares = useMemo(() => {
    const whole = Math.max(1, last - first);
    return marks.map((mark, i) => (isEven ? (i + 0.5) / marks.length : (mark.taken_ms - first) / whole));
  }, [marks, isEven, first, Math.floor(last / 10_000)]);

  const room = width - 2 * EDGE;
  const place = (share: number) => EDGE + (share - left) * zoom * room;
  const bar = Math.max(1, Math.min(3, (room * zoom) / marks.length / 1.6));
  const look = (to: number, by: number, anchor = 0.5) => {
    const next = Math.min(4096, Math.max(1, by));
    setZoom(next);
    setLeft(Math.min(1 - 1 / next, Math.max(0, to - anchor / next)));
  };
  const centre = left + 0.5 / zoom;
  const pick = (i: number) => {
    const mark = marks[Math.min(marks.length - 1, Math.max(0, i))];
    if (!mark) return;
    choose(mark.name);
    const share = shares[marks.indexOf(mark)] ?? 0;
    if (share < left || share > left + 1 / zoom) look(share, zoom);
  };
  const keys = (event: KeyboardEvent) => {
    const at = index < 0 ? marks.length - 1 : index;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => pick(at - 1),
      ArrowRight: () => pick(at + 1),
      PageUp: () => pick(at - 10),
      PageDown: () => pick(at + 10),
      Home: () => pick(0),
      End: () => pick(marks.length - 1),
      "+": () => look(shares[at] ?? centre, zoom * 2),
      "-": () => look(shares[at] ?? centre, zoom / 2),
      "0": () => look(0.5, 1),
    };
    const move = moves[event.key];
    if (move) {
      event.preventDefault();
      move();
    }
  };

  // The wheel must not scroll the page, which only a listener that is not passive can see to.
  useEffect(() => {
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const at = (event.offsetX - EDGE) / room;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        look(centre + (event.deltaX + event.deltaY) / zoom / room, zoom);
      } else look(left + at / zoom, zoom * 1.0015 ** -event.deltaY, at);
    };
    const node = box.current;
    node?.addEventListener("wheel", wheel, { passive: false });
    return () => node?.removeEventListener("wheel", wheel);
  });

  const drag = useRef<{ x: number; left: number; moved: boolean } | null>(null);
  const nearest = (x: number) => {
    let best = -1;
    let distance = 24;
    shares.forEach((share, i) => {
      const d = Math.abs(place(share) - x);
      if (d < distance) [best, distance] = [i, d];
    });
    return best;
  };
  const down = (event: PointerEvent) => {
    drag.current = { x: event.clientX, left, moved: false };
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent) => {
    if (!drag.current) return;
    const by = event.clientX - drag.current.x;
    if (Math.abs(by) > 4) drag.current.moved = true;
    if (drag.current.moved)
      setLeft(Math.min(1 - 1 / zoom, Math.max(0, drag.current.left - by / zoom / room)));
  };
  const up = (event: PointerEvent) => {
    const was = drag.current;
    drag.current = null;
    if (!was || was.moved || !box.current) return;
    const hit = nearest(event.clientX - box.current.getBoundingClientRect().left);
    if (hit >= 0) pick(hit);
  };

  const mark = marks[index];
  return (
    <section class="timeline" aria-label="Timeline">
      <div class="tools">
        <ul class="legend">
          <li class="crash">crash</li>
          <li class="filesystem">file system</li>
          <li class="application">application</li>
          <li class="held">held</li>
          <li class="locked">locked</li>
          <li class="viewed">has a view</li>
        </ul>
        <span class="buttons">
          <button type="button" aria-pressed={isEven} onClick={() => setEven(!isEven)}>
            Side by side
          </button>
          <button type="button" aria-label="Zoom out" onClick={() => look(shares[index] ?? centre, zoom / 2)}>
            −
          </button>
          <button type="button" aria-label="Zoom in" onClick={() => look(shares[index] ?? centre, zoom * 2)}>
            +
          </button>
          <button type="button" onClick={() => look(0.5, 1)}>
            All
          </button>
        </span>
      </div>
      <div
        ref={box}
        class="axis"
        role="slider"
        tabIndex={0}
        aria-label="Marks, oldest first"
        aria-valuemin={1}
        aria-valuemax={marks.length}
        aria-valuenow={index < 0 ? marks.length : index + 1}
        aria-valuetext={mark ? describe(mark, now) : "no mark chosen"}
        onKeyDown={keys}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
      >
        <svg width={width} height={HEIGHT} aria-hidden="true">
          {!isEven && <Ticks first={first} last={last} left={left} zoom={zoom} place={place} width={width} />}
          <line x1="0" x2={width} y1={FLOOR} y2={FLOOR} class="floor" />
          {marks.map((one, i) => {
            const x = place(shares[i] ?? 0);
            if (x < -8 || x > width + 8) return null;
            const top = FLOOR - RISE[one.grade];
            return (
              <g key={one.id} class={`${one.grade} ${one.name === chosen ? "chosen" : ""}`}>
                <rect x={x - bar / 2} y={top} width={bar} height={FLOOR - top} rx={bar / 2} />
                {one.is_locked && (
                  <path
                    class="locked"
                    d={`M${x - 4.5} ${top - 7}h9v-6h-2v-2a2.5 2.5 0 0 0-5 0v2h-2zm3.4-6v-2a1.1 1.1 0 0 1 2.2 0v2z`}
                  />
                )}
                {one.is_held && !one.is_locked && <path class="held" d={`M${x} ${top - 12}l4 5-4 5-4-5z`} />}
                {one.views.length > 0 && <circle class="viewed" cx={x} cy={FLOOR + 7} r="3.5" />}
              </g>
            );
          })}
        </svg>
      </div>
    </section>
  );
}

interface TicksProps {
  first: number;
  last: number;
  left: number;
  zoom: number;
  place: (share: number) => number;
  width: number;
}

/** Round moments of the browser's time zone, as many as have room. */
function Ticks({ first, last, left, zoom, place, width }: TicksProps) {
  const whole = Math.max(1, last - first);
  const seen = whole / zoom;
  const step = STEPS.find((one) => seen / one <= width / 110) ?? seen / 4;
  const shift = new Date(first).getTimezoneOffset() * 60_000;
  const from = first + left * whole;
  const ticks: number[] = [];
  for (
    let t = Math.ceil((from - shift) / step) * step + shift;
    t <= from + seen && ticks.length < 40;
    t += step
  ) {
    ticks.push(t);
  }
  const form = new Intl.DateTimeFormat(
    "en-GB",
    step >= 86_400_000
      ? { day: "numeric", month: "short", ...(step > 40 * 86_400_000 ? { year: "numeric" } : {}) }
      : seen > 86_400_000
        ? { weekday: "short", hour: "2-digit", minute: "2-digit" }
        : { hour: "2-digit", minute: "2-digit", ...(step < 60_000 ? { second: "2-digit" } : {}) },
  );
  return (
    <>
      {ticks.map((t) => {
        const x = place((t - first) / whole);
        return (
          <g key={t} class="tick">
            <line x1={x} x2={x} y1="8" y2={FLOOR} />
            <text x={Math.min(width - 34, Math.max(34, x))} y={HEIGHT - 6} text-anchor="middle">
              {form.format(t)}
            </text>
          </g>
        );
      })}
    </>
  );
}
