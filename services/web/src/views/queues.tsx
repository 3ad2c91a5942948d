import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { request } from "../model/api";
import { usePolled } from "../model/poll";
import { query, setQuery } from "../model/route";
import { mayCancelSome } from "../model/session";
import { type Page, ROW_FIELDS, type Task } from "../model/tasks";
import { duration, growing } from "../model/times";
import { act, ActDialog } from "../parts/act";
import { Ago, Button, Card, Empty, Loading, Problem, Ran, StateLabel } from "../parts/basics";
import { TaskLink } from "./task";

export interface Queue {
  name: string;
  waiting: number;
  runnable: number;
  blocked: number;
  parked: number;
  running: number;
  unserved: number;
  oldest_wait_seconds: number | null;
  workers: number;
  slots: number;
  free_slots: number;
}

interface Holder {
  task: string;
  state: string | null;
  worker_name: string;
  access: string;
  since: string;
  seconds: number;
}

interface Resource {
  resource: string;
  waiting: number;
  oldest_wait_seconds: number | null;
  held_by: Holder[];
}

interface Line {
  held_by: Holder[];
  waiting: number;
  tasks: { place: number; task: string; name: string; queue: string; access: string; wait_seconds: number; passed_over: boolean }[];
}

export function Queues(): JSX.Element {
  const resource = query.value.get("resource");
  return (
    <div class="page">
      {resource === null ? <All /> : <OneResource key={resource} resource={resource} />}
      <ActDialog />
    </div>
  );
}

function All(): JSX.Element {
  const queues = usePolled<Page<Queue>>("queues/");
  const resources = usePolled<Page<Resource>>("resources/", { limit: 50 });
  const failure = queues.failure.value ?? resources.failure.value;
  return (
    <>
      <div class="page-head">
        <h1>Queues and resources</h1>
      </div>
      {failure !== null && <Problem text={failure} again={queues.again} />}
      {queues.value.value === null && failure === null && <Loading what="the queues" />}
      {queues.value.value !== null && (
        <Card title="Queues">
          {queues.value.value.results.length === 0 ? (
            <Empty title="No queue has tasks or workers" command="pulp-tasks worker --name w1" />
          ) : (
            <div class="scroll" tabIndex={0} role="region" aria-label="Queues">
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">Queue</th>
                    <th scope="col" class="number">Runnable</th>
                    <th scope="col" class="number">Blocked</th>
                    <th scope="col" class="number">Running</th>
                    <th scope="col">Oldest wait</th>
                    <th scope="col" class="number">Workers</th>
                    <th scope="col" class="number">Free slots</th>
                  </tr>
                </thead>
                <tbody>
                  {queues.value.value.results.map((each) => (
                    <tr key={each.name}>
                      <th scope="row">
                        <a href={`/ui/tasks?q=${encodeURIComponent(`queue="${each.name}"`)}&state=waiting,running`}>{each.name}</a>
                        {each.parked > 0 && (
                          <span class="no-effect">
                            {" "}
                            <a href="/ui/log?view=dead">{each.parked} parked</a>
                          </span>
                        )}
                        {each.unserved > 0 && <span class="no-effect"> {each.unserved} that nobody can run</span>}
                      </th>
                      <td class="number">{each.runnable}</td>
                      <td class="number">{each.blocked}</td>
                      <td class="number">{each.running}</td>
                      <td>{each.oldest_wait_seconds === null ? "–" : growing(each.oldest_wait_seconds * 1000)}</td>
                      <td class={`number ${each.workers === 0 ? "no-effect" : ""}`}>{each.workers}</td>
                      <td class="number">
                        {each.free_slots} of {each.slots}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Card>
      )}
      {resources.value.value !== null && (
        <Card title={`Resources in use (${resources.value.value.count.toLocaleString("en")})`}>
          {resources.value.value.results.length === 0 ? (
            <Empty title="No task holds a resource or waits for one" command="pulp-admin queue" />
          ) : (
            <div class="scroll" tabIndex={0} role="region" aria-label="Resources">
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">Resource</th>
                    <th scope="col">Held by</th>
                    <th scope="col" class="number">Waiting</th>
                    <th scope="col">Oldest wait</th>
                  </tr>
                </thead>
                <tbody>
                  {resources.value.value.results.map((each) => (
                    <tr key={each.resource}>
                      <th scope="row">
                        <a href={`/ui/queues?resource=${encodeURIComponent(each.resource)}`}>{each.resource}</a>
                      </th>
                      <td>
                        <span class="links">
                          {each.held_by.map((one) => (
                            <TaskLink key={one.task} href={one.task} />
                          ))}
                          {each.held_by.length === 0 && <span class="none">–</span>}
                        </span>
                      </td>
                      <td class="number">{each.waiting}</td>
                      <td>{each.oldest_wait_seconds === null ? "–" : growing(each.oldest_wait_seconds * 1000)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Card>
      )}
    </>
  );
}

function OneResource({ resource }: { resource: string }): JSX.Element {
  const line = usePolled<Line>("resources/line/", { resource, limit: 100 });
  const last = usePolled<Page<Task>>("tasks/", { reserved_resources: resource, limit: 15, fields: ROW_FIELDS });
  const holders = line.value.value?.held_by ?? [];
  const hold = useMemo(() => holders.map((each) => each.task), [holders]);
  useEffect(() => {
    document.title = `${resource} · Pulp Tasks`;
  }, [resource]);
  const cancelHolders = async () => {
    const tasks = await Promise.all(hold.map((href) => request<Task>("GET", href)));
    act("cancel", tasks, line.again);
  };
  return (
    <>
      <nav class="crumbs" aria-label="Where this is">
        <a href="/ui/queues" onClick={() => setQuery({ resource: null })}>
          Queues and resources
        </a>
      </nav>
      <div class="page-head">
        <h1>{resource}</h1>
        {mayCancelSome.value && hold.length > 0 && (
          <Button kind="danger" onClick={() => void cancelHolders()}>
            Cancel {hold.length === 1 ? "its holder" : "its holders"} …
          </Button>
        )}
      </div>
      {line.failure.value !== null && <Problem text={line.failure.value} again={line.again} />}
      {line.value.value === null && line.failure.value === null && <Loading what="the line" />}
      {line.value.value !== null && (
        <div class="cards plots">
          <Card title="Held by">
            {holders.length === 0 ? (
              <p class="muted">Nobody holds it.</p>
            ) : (
              <ul class="plain">
                {holders.map((each) => (
                  <li key={each.task}>
                    <TaskLink href={each.task} /> {each.access}, on {each.worker_name}, for {duration(each.seconds * 1000)}
                  </li>
                ))}
              </ul>
            )}
          </Card>
          <Card title={`In line (${line.value.value.waiting})`}>
            {line.value.value.tasks.length === 0 ? (
              <p class="muted">Nobody waits for it.</p>
            ) : (
              <ol class="line">
                {line.value.value.tasks.map((each) => (
                  <li key={each.task}>
                    <span class="muted">{each.place}.</span> <strong>{each.name}</strong> <TaskLink href={each.task} /> {each.access},
                    waits for {growing(each.wait_seconds * 1000)}
                    {each.passed_over && <span class="muted"> (those behind it do not wait for it)</span>}
                  </li>
                ))}
              </ol>
            )}
          </Card>
        </div>
      )}
      <Card
        title="Its last tasks"
        actions={<a href={`/ui/tasks?q=${encodeURIComponent(`reserved_resources="${resource}"`)}`}>All of them</a>}
      >
        <ul class="line">
          {(last.value.value?.results ?? []).map((task) => (
            <li key={task.pulp_href}>
              <StateLabel state={task.state} /> <strong>{task.name}</strong> <TaskLink href={task.pulp_href} /> <Ago time={task.pulp_created} />,
              ran <Ran task={task} />
            </li>
          ))}
        </ul>
        {last.value.value?.results.length === 0 && <p class="muted">No task has used it.</p>}
      </Card>
    </>
  );
}
