import type { JSX } from "preact";
import { usePolled } from "../model/poll";
import { Ago, Bar, Card, Command, Exact, Loading, Note, Problem } from "../parts/basics";

export interface ReadModel {
  partitions: { partition: number; next_offset: number; end: number | null; lag: number | null }[];
  generations: {
    generation: number;
    status: string;
    percent: number | null;
    created_at: string;
    activated_at: string | null;
    verified_at: string | null;
  }[];
  dead_letters: number;
}

interface Ready {
  ready: boolean;
  down: Record<string, string>;
  findings: { check: string; subject: string | null; severity: string; wrong: string; fix?: string; [other: string]: string | null | undefined }[];
}

export function Trust(): JSX.Element {
  const { value, failure, again } = usePolled<ReadModel>("read-model/");
  const ready = usePolled<Ready>("readyz/", {}, 10_000);
  const model = value.value;
  const building = model?.generations.find((each) => ["building", "verifying"].includes(each.status));
  return (
    <div class="page">
      <div class="page-head">
        <h1>Trust</h1>
      </div>
      <p class="lead">
        What this page shows is computed from the log of events in Kafka. It can be compared with the log at any time, and computed
        anew, while everything goes on.
      </p>
      {failure.value !== null && <Problem text={failure.value} again={again} />}
      {model === null && failure.value === null && <Loading what="the read model" />}
      {Object.values(ready.value.value?.down ?? {}).map((text) => (
        <Note key={text} kind="danger" title={text} />
      ))}
      {model !== null && (
        <>
          <Card title="Generations of the read model">
            <div class="scroll" tabIndex={0} role="region" aria-label="Generations">
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">Generation</th>
                    <th scope="col">Status</th>
                    <th scope="col">Made</th>
                    <th scope="col">Compared with the log</th>
                    <th scope="col">Activated</th>
                  </tr>
                </thead>
                <tbody>
                  {model.generations.map((each) => (
                    <tr key={each.generation}>
                      <th scope="row">{each.generation}</th>
                      <td>{each.status}</td>
                      <td>
                        <Exact time={each.created_at} />
                      </td>
                      <td>{each.verified_at === null ? "–" : <Ago time={each.verified_at} />}</td>
                      <td>{each.activated_at === null ? "–" : <Exact time={each.activated_at} />}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {building !== undefined && building.percent !== null && <Bar fraction={building.percent / 100} label={`Generation ${building.generation}`} />}
            <h3>To compare it with the log now</h3>
            <Command text="pulp-tasks verify" />
            <h3>To compute it anew, and switch if it is equal</h3>
            <Command text="pulp-tasks rebuild --activate" />
          </Card>
          <Checkpoints />
          <div class="cards task-cards two">
            <Lag model={model} />
            <Card title="Records that cannot be projected">
              {model.dead_letters === 0 ? (
                <p>There are none: everything in the log was understood.</p>
              ) : (
                <p>
                  <strong>{model.dead_letters}</strong>: <a href="/ui/log?view=dead">where they are, and why</a>
                </p>
              )}
            </Card>
            <Card title="Preconditions">
              {(ready.value.value?.findings ?? []).length === 0 ? (
                <p>The last check found nothing.</p>
              ) : (
                <ul class="plain">
                  {ready.value.value?.findings.map((each) => (
                    <li key={`${each.check} ${each.subject}`}>
                      <strong>{each.severity}</strong>: {each.wrong}
                    </li>
                  ))}
                </ul>
              )}
              <Command text="pulp-tasks doctor" />
            </Card>
          </div>
        </>
      )}
    </div>
  );
}

interface Checkpoint {
  partition: number;
  size: number;
  root: string;
  keys: string[];
  time: string;
  lag: number | null;
}

function Checkpoints(): JSX.Element {
  const { value, failure, again } = usePolled<{ results: Checkpoint[] }>("checkpoints/", {}, 10_000);
  const found = value.value?.results ?? [];
  return (
    <Card title="Signed checkpoints">
      <p>
        A checkpoint signs how many records the log has, and what they are, so that anybody who has kept it can check that no record
        was altered, removed or added. They are shown as they were published: to verify them takes the verifier key.
      </p>
      {failure.value !== null && <Problem text={failure.value} again={again} />}
      {value.value !== null && found.length === 0 && (
        <p>
          There are none: <code>pulp-tasks transparency</code> does not run, or has not signed anything yet.
        </p>
      )}
      {found.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Checkpoints">
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Partition</th>
                <th scope="col" class="number">Records</th>
                <th scope="col" class="number">Not yet</th>
                <th scope="col">Signed</th>
                <th scope="col">Root of the tree</th>
                <th scope="col">Key</th>
              </tr>
            </thead>
            <tbody>
              {found.map((each) => (
                <tr key={each.partition}>
                  <th scope="row">{each.partition}</th>
                  <td class="number">{each.size.toLocaleString("en")}</td>
                  <td class="number">{each.lag?.toLocaleString("en") ?? "–"}</td>
                  <td>
                    <Ago time={each.time} />
                  </td>
                  <td>
                    <code>{each.root}</code>
                  </td>
                  <td>{each.keys.join(", ")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <h3>To keep them: give this to somebody outside</h3>
      <Command text={`curl --user NAME ${location.origin}/pulp/api/v3/checkpoints/`} />
      <h3>To check the log, the checkpoints and the history</h3>
      <Command text="pulp-tasks audit verify" />
    </Card>
  );
}

export function Lag({ model }: { model: ReadModel }): JSX.Element {
  const total = model.partitions.reduce((sum, each) => sum + (each.lag ?? 0), 0);
  const isKnown = model.partitions.every((each) => each.lag !== null);
  return (
    <Card title="Lag" actions={<strong>{isKnown ? `${total.toLocaleString("en")} events` : "not known: Kafka does not answer"}</strong>}>
      <div class="scroll" tabIndex={0} role="region" aria-label="Lag by partition">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Partition</th>
              <th scope="col" class="number">End of the log</th>
              <th scope="col" class="number">Shown up to</th>
              <th scope="col" class="number">Lag</th>
            </tr>
          </thead>
          <tbody>
            {model.partitions.map((each) => (
              <tr key={each.partition}>
                <th scope="row">{each.partition}</th>
                <td class="number">{each.end?.toLocaleString("en") ?? "–"}</td>
                <td class="number">{each.next_offset.toLocaleString("en")}</td>
                <td class="number">{each.lag?.toLocaleString("en") ?? "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
