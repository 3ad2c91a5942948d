import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  label: string;
  values: readonly number[];
  colour: string;
}

interface PlotProps {
  title: string;
  times: readonly string[];
  series: readonly Series[];
}

const HEIGHT = 220;

/** A tick of the time axis: the clock, or the day where steps are as long. */
function label(seconds: number, stepS: number): string {
  const time = new Date(seconds * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const isDay = stepS >= 86_400 || (time.getHours() === 0 && time.getMinutes() === 0);
  return isDay ? `${two(time.getMonth() + 1)}-${two(time.getDate())}` : `${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** Lines over time. The table behind it says the same to those who do not see them. */
export function Plot({ title, times, series }: PlotProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const key = series.map((each) => each.label).join();
  const data = (): uPlot.AlignedData => [times.map((each) => Date.parse(each) / 1000), ...series.map((each) => [...each.values])];
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.getPropertyValue("--subtle"), grid: { stroke: style.getPropertyValue("--line"), width: 1 }, ticks: { show: false } };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        cursor: { drag: { x: false, y: false } },
        legend: { live: false },
        scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } },
        axes: [{ ...axis, values: (_, ticks, __, ___, step) => ticks.map((each) => label(each, step)) }, { ...axis, size: 44 }],
        series: [{}, ...series.map((each) => ({ label: each.label, stroke: each.colour, width: 2, points: { show: false } }))],
      },
      data(),
      element,
    );
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [key]);
  useEffect(() => plot.current?.setData(data()), [times, series]);
  const last = series.map((each) => `${each.label} ${each.values.at(-1) ?? 0}`).join(", ");
  const sums = series.map((each) => `${each.label} at most ${Math.max(0, ...each.values)}`).join(", ");
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      <div ref={box} role="img" aria-label={`${title}: ${sums}; at the end ${last}`} />
    </figure>
  );
}
