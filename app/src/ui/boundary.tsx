/** A part of the page that may fail to be drawn: the rest of the page stays, and the next block's figures are tried. */
import type { ComponentChildren } from "preact";
import { useEffect, useErrorBoundary } from "preact/hooks";
import { type App, useAppState } from "../app";

export function Boundary({ app, children }: { app: App; children: ComponentChildren }) {
  const [error, retry] = useErrorBoundary((error) => console.error(error));
  const { snapshot } = useAppState(app);
  useEffect(() => {
    if (error) retry();
  }, [snapshot]);
  if (!error) return <>{children}</>;
  return (
    <p class="problem" role="alert">
      This part of the page could not be drawn ({String(error)}). It is drawn again with the figures of the next block.
    </p>
  );
}
