import type { JSX } from "preact";
import { usePolled } from "../model/poll";
import type { Page } from "../model/tasks";
import { ms, now } from "../model/times";
import { Ago, Empty, Loading, Note, Problem } from "../parts/basics";
import { TaskLink } from "./task";

interface Worker {
  pulp_href: string;
  name: string;
  host: string;
  pulp_created: string;
  last_heartbeat: string;
  versions: Record<string, string>;
  current_tasks: string[];
  queues: string[];
  operations: string[] | null;
  slots: number;
  busy_slots: number;
  online: boolean;
  draining: boolean;
}

interface Status {
  dispatching: boolean | null;
  settling?: boolean | null;
  unserved_queues: { queue: string; waiting: number }[];
  unserved_operations: { queue: string; operation: string; waiting: number }[];
}

export function Workers(): JSX.Element {
  const { value, failure, again } = usePolled<Page<Worker>>("workers/", { limit: 500 });
  const status = usePolled<Status>("status/", {}, 5000);
  const workers = value.value?.results ?? [];
  const online = workers.filter((each) => each.online);
  return (
    <div class="page">
      <div class="page-head">
        <h1>Workers</h1>
        {value.value !== null && (
          <span class="muted">
            {online.length} live, {online.reduce((sum, each) => sum + each.busy_slots, 0)} of {online.reduce((sum, each) => sum + each.slots, 0)} slots busy
          </span>
        )}
      </div>
      {failure.value !== null && <Problem text={failure.value} again={again} />}
      <Unserved status={status.value.value} />
      {value.value === null && failure.value === null && <Loading what="the workers" />}
      {value.value !== null && workers.length === 0 && (
        <Empty title="No worker runs" command="pulp-tasks worker --name w1">
          <p>Tasks wait until one does. To start one:</p>
        </Empty>
      )}
      <div class="cards worker-cards">
        {workers.map((each) => (
          <WorkerCard key={each.pulp_href} worker={each} />
        ))}
      </div>
    </div>
  );
}

export function Unserved({ status }: { status: Status | null }): JSX.Element | null {
  if (status === null) return null;
  return (
    <>
      {status.dispatching === false && status.settling && (
        <Note kind="warning" title="The processor that assigns tasks has just taken over.">
          No task starts before it has caught up with the log.
        </Note>
      )}
      {status.dispatching === false && !status.settling && (
        <Note kind="danger" title="No processor assigns tasks to workers.">
          Start one: <code>pulp-tasks processor</code>
        </Note>
      )}
      {status.unserved_queues.map((each) => (
        <Note key={each.queue} kind="danger" title={`No worker serves the queue ${each.queue}: ${each.waiting} ${each.waiting === 1 ? "task waits" : "tasks wait"} in it.`}>
          Start one: <code>pulp-tasks worker --queue {each.queue}</code>
        </Note>
      ))}
      {status.unserved_operations.map((each) => (
        <Note key={`${each.queue} ${each.operation}`} kind="danger" title={`No worker of the queue ${each.queue} offers ${each.operation}: ${each.waiting} waiting.`}>
          Install the package of the operation where workers run, and restart them.
        </Note>
      ))}
    </>
  );
}

function WorkerCard({ worker }: { worker: Worker }): JSX.Element {
  const isLate = worker.online && now.value - ms(worker.last_heartbeat) > 15_000;
  const word = !worker.online ? "gone" : worker.draining ? "draining" : "live";
  return (
    <section class="card" data-word={word}>
      <header class="card-head">
        <h2>{worker.name}</h2>
        <span class={`pf-v6-c-label pf-m-compact ${word === "live" ? "pf-m-green" : word === "gone" ? "pf-m-red" : "pf-m-orange"}`}>
          <span class="pf-v6-c-label__content">
            <span class="pf-v6-c-label__text">{word}</span>
          </span>
        </span>
      </header>
      <dl class="facts">
        <div>
          <dt>Heartbeat</dt>
          <dd class={isLate ? "no-effect" : undefined}>
            <Ago time={worker.last_heartbeat} />
          </dd>
        </div>
        <div>
          <dt>Host</dt>
          <dd>{worker.host}</dd>
        </div>
        <div>
          <dt>Queues</dt>
          <dd>{worker.queues.join(", ")}</dd>
        </div>
        <div>
          <dt>Version</dt>
          <dd>{Object.entries(worker.versions).map(([name, version]) => `${name} ${version}`).join(", ")}</dd>
        </div>
        <div>
          <dt>Operations</dt>
          <dd>{worker.operations === null ? "all" : worker.operations.join(", ")}</dd>
        </div>
      </dl>
      <h3 class="slots-head">
        Slots: {worker.busy_slots} of {worker.slots} busy
      </h3>
      <ul class="slots">
        {Array.from({ length: Math.min(worker.slots, 64) }, (_, index) => {
          const task = worker.current_tasks[index];
          return (
            <li key={index} class="slot" data-busy={task !== undefined}>
              {task === undefined ? <span class="muted">free</span> : <TaskLink href={task} />}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
