import type { JSX } from "preact";
import { usePolled } from "../model/poll";
import { query, setQuery } from "../model/route";
import { duration } from "../model/times";
import { Card, Empty, Loading, Problem } from "../parts/basics";
import { Plot } from "../parts/plot";
import type { Page } from "../model/tasks";
import type { Queue } from "./queues";
import { Lag, type ReadModel } from "./trust";

interface Percentiles {
  p50: number;
  p95: number;
}

interface Statistics {
  since: string;
  until: string;
  step_seconds: number;
  times: string[];
  accepted: number[];
  ended: Record<string, number[]>;
  waiting: number[];
  running: number[];
  operations: { name: string; ended: number; failed: number; waited_seconds: Percentiles; ran_seconds: Percentiles | null }[];
}

const SPANS: readonly [number, string][] = [
  [15, "15 minutes"],
  [60, "1 hour"],
  [360, "6 hours"],
  [1440, "1 day"],
  [10_080, "7 days"],
  [43_200, "30 days"],
];
const COLOURS: Record<string, string> = { completed: "#5ba352", failed: "#d9534f", canceled: "#d18b16", skipped: "#876fd4" };

export function Numbers(): JSX.Element {
  const minutes = Number(query.value.get("minutes") ?? "60");
  const span = SPANS.some(([value]) => value === minutes) ? minutes : 60;
  const { value, failure, again } = usePolled<Statistics>("statistics/", { minutes: span }, span <= 60 ? 5000 : 30_000);
  const found = value.value;
  const model = usePolled<ReadModel>("read-model/", {}, 5000).value.value;
  const queues = usePolled<Page<Queue>>("queues/", {}, 5000).value.value?.results ?? [];
  const longest = Math.max(0.001, ...(found?.operations ?? []).map((each) => Math.max(each.waited_seconds.p95, each.ran_seconds?.p95 ?? 0)));
  const total = found?.accepted.reduce((sum, each) => sum + each, 0) ?? 0;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Numbers</h1>
        <div class="chips chips-tight" role="group" aria-label="Span of time">
          {SPANS.map(([each, name]) => (
            <button key={each} type="button" class="chip" aria-pressed={each === span} onClick={() => setQuery({ minutes: String(each) })}>
              {name}
            </button>
          ))}
        </div>
      </div>
      {failure.value !== null && <Problem text={failure.value} again={again} />}
      {found === null && failure.value === null && <Loading what="the numbers" />}
      {found !== null && (
        <>
          <div class="cards plots">
            <Card title="Tasks" actions={<span class="muted">per {duration(found.step_seconds * 1000)}</span>}>
              <Plot
                title="Accepted and ended"
                times={found.times}
                series={[
                  { label: "accepted", values: found.accepted, colour: "#4394e5" },
                  ...Object.entries(found.ended).map(([state, values]) => ({ label: state, values, colour: COLOURS[state] ?? "#8a8d90" })),
                ]}
              />
            </Card>
            <Card title="Depth" actions={<span class="muted">at the end of each step</span>}>
              <Plot
                title="Waiting and running"
                times={found.times}
                series={[
                  { label: "waiting", values: found.waiting, colour: "#8a8d90" },
                  { label: "running", values: found.running, colour: "#4394e5" },
                ]}
              />
            </Card>
          </div>
          <Card title="Waiting and running time, of tasks that ended" actions={<span class="muted">{total.toLocaleString("en")} accepted</span>}>
            {found.operations.length === 0 ? (
              <Empty title="No task ended in this time" command="pulp-admin tasks list --all" />
            ) : (
              <div class="scroll" tabIndex={0} role="region" aria-label="By operation">
                <table class="table">
                  <thead>
                    <tr>
                      <th scope="col">Operation</th>
                      <th scope="col" class="number">Ended</th>
                      <th scope="col" class="number">Failed</th>
                      <th scope="col">Waited, p50 and p95</th>
                      <th scope="col">Ran, p50 and p95</th>
                    </tr>
                  </thead>
                  <tbody>
                    {found.operations.map((each) => (
                      <tr key={each.name}>
                        <th scope="row">
                          <a href={`/ui/tasks?q=${encodeURIComponent(`name="${each.name}"`)}`}>{each.name}</a>
                        </th>
                        <td class="number">{each.ended.toLocaleString("en")}</td>
                        <td class={`number ${each.failed > 0 ? "no-effect" : ""}`}>{each.failed.toLocaleString("en")}</td>
                        <td>
                          <Times of={each.waited_seconds} longest={longest} />
                        </td>
                        <td>{each.ran_seconds === null ? "–" : <Times of={each.ran_seconds} longest={longest} />}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
          </Card>
          <div class="cards plots">
            <Card title="Queues now" actions={<a href="/ui/queues">All of them</a>}>
              <Bars rows={queues} />
            </Card>
            {model !== null && <Lag model={model} />}
          </div>
        </>
      )}
    </div>
  );
}

/** The middle and the end of what tasks took, as two bars of one scale for the whole table. */
function Times({ of, longest }: { of: Percentiles; longest: number }): JSX.Element {
  return (
    <span class="times">
      <span class="times-bars" aria-hidden="true">
        <span class="times-p95" style={{ width: `${(of.p95 / longest) * 100}%` }} />
        <span class="times-p50" style={{ width: `${(of.p50 / longest) * 100}%` }} />
      </span>
      <span class="times-text">
        {duration(of.p50 * 1000)} <span class="muted">/</span> {duration(of.p95 * 1000)}
      </span>
    </span>
  );
}

const DEPTHS = ["running", "runnable", "blocked"] as const;

/** How deep each queue is, with one scale for all. */
function Bars({ rows }: { rows: readonly Queue[] }): JSX.Element {
  const most = Math.max(1, ...rows.map((row) => row.running + row.runnable + row.blocked));
  if (rows.length === 0) return <p class="muted">No queue has tasks or workers.</p>;
  return (
    <>
      <ul class="depths">
        {rows.map((row) => (
          <li key={row.name}>
            <span class="depth-name">{row.name}</span>
            <span class="depth-track" role="img" aria-label={DEPTHS.map((each) => `${each} ${row[each]}`).join(", ")}>
              {DEPTHS.map((each) => (
                <span key={each} class="depth" data-kind={each} style={{ width: `${(row[each] / most) * 100}%` }} />
              ))}
            </span>
            <span class="depth-count">{row.running + row.runnable + row.blocked}</span>
          </li>
        ))}
      </ul>
      <ul class="legend">
        {DEPTHS.map((each) => (
          <li key={each}>
            <span class="swatch" data-kind={each} /> {each}
          </li>
        ))}
      </ul>
    </>
  );
}
