// The timeline: up to 256 marks on an axis of time, or side by side where their times are too uneven. A mark stands on
// the axis as high as its grade, and hangs below it as long as it takes room. One slider for the keyboard and for
// screen readers; drag, Ctrl and wheel, and buttons for the rest.

import type { RefObject } from "preact";
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { ago, count, moment, size } from "../format";
import type { Mark } from "../types";
import { Order, Ticks } from "./timeaxis";

const HEIGHT = 184;
/** Of what there will be nothing hangs below the axis. */
const HEIGHT_AHEAD = 148;
const FLOOR = 106;
/** How far what hangs below the axis reaches at most. */
const DEPTH = 40;
const EDGE = 18;
const RISE = { crash: 34, filesystem: 54, application: 74 } as const;
const ZOOM_MAX = 4096;
/** How far from a mark it is still meant by the pointer. */
const REACH = 24;

export interface TimelineProps {
  marks: Mark[];
  chosen: string | null;
  choose: (name: string) => void;
  now: number;
  /** What Enter does with the mark that is chosen. */
  enter?: () => void;
  /** Whether these are marks that there will be, of which nothing is known but when they are taken. */
  isAhead?: boolean;
}

/** What a mark is, in one line. */
export function describe(mark: Mark, now: number): string {
  const parts = [
    mark.name,
    `taken ${moment(mark.taken_ms)}, ${ago(mark.taken_ms, now)}`,
    `${mark.grade}-consistent`,
  ];
  parts.push(size(mark.size), `takes up to ${size(mark.frees_most_bytes)}`);
  if (mark.proof !== "unverified") parts.push(mark.proof === "verified" ? "verified" : "check failed");
  if (mark.is_locked) parts.push(keptUntil("locked", mark.locked_until_ms));
  if (mark.is_held) parts.push(keptUntil("held", mark.held_until_ms));
  if (mark.views.length > 0) parts.push(`viewed by ${mark.views.join(", ")}`);
  return parts.join("; ");
}

/** "held", or "held until 1 Mar 2027, 02:30:00". */
export function keptUntil(word: string, end_ms: number | null): string {
  return end_ms === null ? word : `${word} until ${moment(end_ms)}`;
}

/** What there is, for those who do not see it. */
function summary(marks: Mark[]): string {
  const [first, last] = [marks[0], marks.at(-1)];
  if (!first || !last) return "";
  const of = (is: (mark: Mark) => boolean, word: string) => {
    const number = marks.filter(is).length;
    return number > 0 ? [`${number} ${word}`] : [];
  };
  const kinds = [
    ...of((mark) => mark.is_held, "held"),
    ...of((mark) => mark.is_locked, "locked"),
    ...of((mark) => mark.views.length > 0, "with views"),
  ];
  const more = kinds.length > 0 ? `, of them ${kinds.join(", ")}` : "";
  return `${count(marks.length, "mark")} from ${moment(first.taken_ms)} to ${moment(last.taken_ms)}${more}.`;
}

/** What of the axis is in sight: from where, as a share of the whole, and how much larger than the whole. */
interface Sight {
  left: number;
  zoom: number;
  /** Brings a share into sight, at this zoom, so far from the left edge. */
  look: (share: number, zoom: number, anchor?: number) => void;
  shift: (left: number) => void;
}

function useSight(): Sight {
  const [zoom, setZoom] = useState(1);
  const [left, setLeft] = useState(0);
  const within = (to: number, by: number) => Math.min(1 - 1 / by, Math.max(0, to));
  const look = (share: number, by: number, anchor = 0.5) => {
    const next = Math.min(ZOOM_MAX, Math.max(1, by));
    setZoom(next);
    setLeft(within(share - anchor / next, next));
  };
  return { left, zoom, look, shift: (to) => setLeft(within(to, zoom)) };
}

function useWidth(box: RefObject<HTMLDivElement | null>): number {
  const [width, set] = useState(800);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => entry && set(Math.max(200, entry.contentRect.width)));
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return width;
}

/** Ctrl and the wheel zoom, a wheel to the side moves along; what is left over scrolls the page. */
function useWheel(
  box: RefObject<HTMLDivElement | null>,
  { left, zoom, look, shift }: Sight,
  room: number,
): void {
  useEffect(() => {
    const wheel = (event: WheelEvent) => {
      const isAlong = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.ctrlKey || event.metaKey) {
        const at = (event.offsetX - EDGE) / room;
        look(left + at / zoom, zoom * 1.0015 ** -event.deltaY, at);
      } else if (isAlong && zoom > 1) shift(left + (event.deltaX + event.deltaY) / zoom / room);
      else return;
      event.preventDefault();
    };
    // Only a listener that is not passive can keep the page from scrolling.
    const node = box.current;
    node?.addEventListener("wheel", wheel, { passive: false });
    return () => node?.removeEventListener("wheel", wheel);
  });
}

export function Timeline({ marks, chosen, choose, now, enter, isAhead = false }: TimelineProps) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [isEven, setEven] = useState(false);
  const [pointed, point] = useState(-1);
  const height = isAhead ? HEIGHT_AHEAD : HEIGHT;
  const sight = useSight();
  const keysId = useId();
  const { left, zoom, look } = sight;
  const room = width - 2 * EDGE;
  useWheel(box, sight, room);

  const index = marks.findIndex((mark) => mark.name === chosen);
  const first = marks[0]?.taken_ms ?? now;
  const last = Math.max(now, marks.at(-1)?.taken_ms ?? now);
  const shares = useMemo(() => {
    const whole = Math.max(1, last - first);
    return marks.map((mark, i) => (isEven ? (i + 0.5) / marks.length : (mark.taken_ms - first) / whole));
  }, [marks, isEven, first, Math.floor(last / 10_000)]);
  const place = (share: number) => EDGE + (share - left) * zoom * room;
  const centre = left + 0.5 / zoom;
  const here = shares[index] ?? centre;
  const pick = (i: number) => {
    const at = Math.min(marks.length - 1, Math.max(0, i));
    const mark = marks[at];
    if (!mark) return;
    choose(mark.name);
    const share = shares[at] ?? 0;
    if (share < left || share > left + 1 / zoom) look(share, zoom);
  };
  const nearest = (x: number) => {
    let best = -1;
    let distance = REACH;
    shares.forEach((share, i) => {
      const d = Math.abs(place(share) - x);
      if (d < distance) [best, distance] = [i, d];
    });
    return best;
  };
  const keys = (event: KeyboardEvent) => {
    const at = index < 0 ? marks.length - 1 : index;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => pick(at - 1),
      ArrowRight: () => pick(at + 1),
      ArrowDown: () => pick(at - 1),
      ArrowUp: () => pick(at + 1),
      PageUp: () => pick(at - 10),
      PageDown: () => pick(at + 10),
      Home: () => pick(0),
      End: () => pick(marks.length - 1),
      "+": () => look(here, zoom * 2),
      "=": () => look(here, zoom * 2),
      "-": () => look(here, zoom / 2),
      "0": () => look(0.5, 1),
      ...(enter ? { Enter: enter } : {}),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
  };
  const clicked = (x: number) => {
    const hit = nearest(x);
    if (hit >= 0) pick(hit);
  };
  const mark = marks[index];
  return (
    <section class="timeline" aria-label="Timeline">
      <div class="tools">
        {isAhead ? <span /> : <Legend />}
        <span class="buttons">
          <button type="button" aria-pressed={isEven} onClick={() => setEven(!isEven)}>
            Side by side
          </button>
          <button type="button" aria-label="Zoom out" onClick={() => look(here, zoom / 2)}>
            −
          </button>
          <button type="button" aria-label="Zoom in" onClick={() => look(here, zoom * 2)}>
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
        aria-valuetext={mark ? (isAhead ? mark.name : describe(mark, now)) : "no mark chosen"}
        aria-describedby={keysId}
        onKeyDown={keys}
        {...useDrag(box, sight, room, clicked, (x) => point(x === null ? -1 : nearest(x)))}
      >
        <svg width={width} height={height} aria-hidden="true">
          {isEven ? (
            <Order marks={marks} xs={shares.map(place)} width={width} height={height} />
          ) : (
            <Ticks
              first={first}
              last={last}
              left={left}
              zoom={zoom}
              place={place}
              width={width}
              height={height}
            />
          )}
          <line x1="0" x2={width} y1={FLOOR} y2={FLOOR} class="floor" />
          <Bars marks={marks} xs={shares.map(place)} width={width} room={room * zoom} chosen={index} />
          {zoom > 1 && (
            <rect class="insight" x={left * width} width={width / zoom} y={height - 3} height="3" rx="1.5" />
          )}
        </svg>
        {!isAhead && marks[pointed] && (
          <Tip mark={marks[pointed]} x={place(shares[pointed] ?? 0)} width={width} now={now} />
        )}
      </div>
      <p class={isAhead ? "hidden" : "keys"} id={keysId}>
        <span class="hidden">{summary(marks)} </span>
        <kbd>←</kbd> <kbd>→</kbd> one mark, <kbd>Page Up</kbd> <kbd>Page Down</kbd> ten, <kbd>Home</kbd>{" "}
        <kbd>End</kbd> the first and the last, <kbd>+</kbd> <kbd>−</kbd> or <kbd>Ctrl</kbd> and the wheel zoom
        {enter && (
          <>
            , <kbd>Enter</kbd> goes to what can be done
          </>
        )}
      </p>
    </section>
  );
}

function Legend() {
  return (
    <ul class="legend">
      <li class="crash">crash</li>
      <li class="filesystem">file system</li>
      <li class="application">application</li>
      <li class="held">held</li>
      <li class="locked">locked</li>
      <li class="viewed">has a view</li>
      <li class="room">room it takes</li>
    </ul>
  );
}

interface BarsProps {
  marks: Mark[];
  xs: number[];
  width: number;
  /** Of all marks together. */
  room: number;
  chosen: number;
}

function Bars({ marks, xs, width, room, chosen }: BarsProps) {
  const bar = Math.max(1, Math.min(3, room / marks.length / 1.6));
  const most = Math.max(1, ...marks.map((mark) => mark.frees_most_bytes));
  const order = marks.map((_, i) => i).filter((i) => i !== chosen);
  if (chosen >= 0) order.push(chosen);
  return order.map((i) => {
    const [mark, x] = [marks[i], xs[i] ?? 0];
    if (!mark || x < -8 || x > width + 8) return null;
    const top = FLOOR - RISE[mark.grade];
    // Areas are compared, so that one large mark leaves something of the others.
    const depth = Math.sqrt(mark.frees_most_bytes / most) * DEPTH;
    const wide = i === chosen ? bar + 3 : bar;
    return (
      <g key={mark.id} class={`${mark.grade} ${i === chosen ? "chosen" : ""}`}>
        <rect x={x - wide / 2} y={top} width={wide} height={FLOOR - top} rx={bar / 2} />
        {depth >= 0.5 && (
          <rect class="room" x={x - wide / 2} y={FLOOR + 1} width={wide} height={depth} rx={bar / 2} />
        )}
        {mark.is_locked && (
          <path
            class="locked"
            d={`M${x - 4.5} ${top - 7}h9v-6h-2v-2a2.5 2.5 0 0 0-5 0v2h-2zm3.4-6v-2a1.1 1.1 0 0 1 2.2 0v2z`}
          />
        )}
        {mark.is_held && !mark.is_locked && <path class="held" d={`M${x} ${top - 14}l4 5-4 5-4-5z`} />}
        {mark.views.length > 0 && <circle class="viewed" cx={x} cy={FLOOR} r="5" />}
      </g>
    );
  });
}

/** What the pointer is at. */
function Tip({ mark, x, width, now }: { mark: Mark; x: number; width: number; now: number }) {
  const side = x > width / 2 ? { right: `${width - x + 10}px` } : { left: `${x + 10}px` };
  const kept = [
    ...(mark.is_locked ? ["locked"] : []),
    ...(mark.is_held ? ["held"] : []),
    ...mark.views.map((view) => `view/${view}`),
  ];
  return (
    <div class="tip" style={side} aria-hidden="true">
      <strong>{mark.name}</strong>
      <span>
        {moment(mark.taken_ms)}, {ago(mark.taken_ms, now)}
      </span>
      <span>
        {mark.grade}-consistent, takes up to {size(mark.frees_most_bytes)}
      </span>
      {kept.length > 0 && <span>{kept.join(", ")}</span>}
    </div>
  );
}

/** Drags what is in sight; tells where was clicked, and where the pointer is. */
function useDrag(
  box: RefObject<HTMLDivElement | null>,
  { left, zoom, shift }: Sight,
  room: number,
  click: (x: number) => void,
  hover: (x: number | null) => void,
) {
  const drag = useRef<{ x: number; left: number; moved: boolean } | null>(null);
  const across = (event: PointerEvent) => event.clientX - (box.current?.getBoundingClientRect().left ?? 0);
  return {
    onPointerDown: (event: PointerEvent) => {
      drag.current = { x: event.clientX, left, moved: false };
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
    },
    onPointerMove: (event: PointerEvent) => {
      const was = drag.current;
      if (!was) {
        if (event.pointerType === "mouse") hover(across(event));
        return;
      }
      const by = event.clientX - was.x;
      if (Math.abs(by) > 4) was.moved = true;
      if (was.moved) shift(was.left - by / zoom / room);
    },
    onPointerUp: (event: PointerEvent) => {
      const was = drag.current;
      drag.current = null;
      if (was && !was.moved) click(across(event));
    },
    onPointerCancel: () => {
      drag.current = null;
    },
    onPointerLeave: () => hover(null),
  };
}
