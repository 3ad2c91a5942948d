import type { JSX } from "preact";
import { usePolled } from "../model/poll";
import { query, setQuery } from "../model/route";
import { duration } from "../model/times";
import { Card, Empty, Loading, Problem } from "../parts/basics";
import { Plot } from "../parts/plot";

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
                      <th scope="col" class="number">Waited p50</th>
                      <th scope="col" class="number">p95</th>
                      <th scope="col" class="number">Ran p50</th>
                      <th scope="col" class="number">p95</th>
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
                        <td class="number">{duration(each.waited_seconds.p50 * 1000)}</td>
                        <td class="number">{duration(each.waited_seconds.p95 * 1000)}</td>
                        <td class="number">{each.ran_seconds === null ? "–" : duration(each.ran_seconds.p50 * 1000)}</td>
                        <td class="number">{each.ran_seconds === null ? "–" : duration(each.ran_seconds.p95 * 1000)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
          </Card>
        </>
      )}
    </div>
  );
}
