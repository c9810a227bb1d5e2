// The moments below a timeline: round ones of the browser's time zone, as many as have room.

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
  20_160,
  43_200,
  129_600,
  525_600,
].map((m) => m * 60_000);

interface TicksProps {
  first: number;
  last: number;
  left: number;
  zoom: number;
  place: (share: number) => number;
  width: number;
  height: number;
}

/** A line and a word for each round moment that is in sight. */
export function Ticks({ first, last, left, zoom, place, width, height }: TicksProps) {
  const whole = Math.max(1, last - first);
  const seen = whole / zoom;
  const step = STEPS.find((one) => seen / one <= width / 96) ?? seen / 4;
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
            <line x1={x} x2={x} y1="8" y2={height - 24} />
            <text x={Math.min(width - 34, Math.max(34, x))} y={height - 9} text-anchor="middle">
              {form.format(t)}
            </text>
          </g>
        );
      })}
    </>
  );
}

interface OrderProps {
  marks: { taken_ms: number }[];
  xs: number[];
  width: number;
  height: number;
}

/** The days of marks that stand side by side, as many as have room. */
export function Order({ marks, xs, width, height }: OrderProps) {
  const form = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
  const shown: { x: number; text: string }[] = [];
  xs.forEach((x, n) => {
    const [mark, last] = [marks[n], shown.at(-1)];
    if (!mark || x < 24 || x > width - 24) return;
    const text = form.format(mark.taken_ms);
    if (!last || (x - last.x >= 72 && text !== last.text)) shown.push({ x, text });
  });
  return shown.map(({ x, text }) => (
    <g key={x} class="tick">
      <text x={x} y={height - 9} text-anchor="middle">
        {text}
      </text>
    </g>
  ));
}
