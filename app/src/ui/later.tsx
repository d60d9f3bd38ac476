/** A part of the page whose code is loaded when somebody opens it. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { App } from "../app";

export function Later({ app, load }: { app: App; load: () => Promise<ComponentType<{ app: App }>> }) {
  const [Part, setPart] = useState<ComponentType<{ app: App }>>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    load().then(
      (part) => setPart(() => part),
      () => setProblem("This part of the page could not be loaded. Reload the page."),
    );
  }, []);
  if (problem) return <p class="problem">{problem}</p>;
  return Part ? <Part app={app} /> : <p class="empty">Loading…</p>;
}
