//! Sections of the page as they change, for everybody who has it open. They are made once for all, at most a few times
//! a second, and not at all while nobody looks.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::Event;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    page::{self, Section},
    shutdown::Shutdown,
    view::View,
};

/// The least time between two pictures.
const PAUSE: Duration = Duration::from_millis(250);
/// How often ages move on while nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// The newest sections.
pub(super) type Sections = watch::Receiver<Arc<Vec<Section>>>;

/// Makes sections of every new view while somebody receives them, until shutdown.
pub(super) async fn make_sections(
    mut views: watch::Receiver<Arc<View>>,
    sections: watch::Sender<Arc<Vec<Section>>>,
    shutdown: Shutdown,
) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            changed = views.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        // One receiver is the server's own, which clones it for each visitor.
        if sections.receiver_count() > 1 {
            let view = Arc::clone(&views.borrow_and_update());
            sections.send_replace(Arc::new(page::sections(&view)));
            sleep(PAUSE).await;
        }
    }
}

/// What one visitor is sent: every section once, then each that changes. `_permit` is kept until the visitor leaves.
pub(super) fn events(
    now: Vec<Section>,
    sections: Sections,
    permit: OwnedSemaphorePermit,
    shutdown: Shutdown,
) -> impl Stream<Item = Result<Event, Infallible>> {
    struct Visitor {
        sections: Sections,
        seen: Vec<Section>,
        _permit: OwnedSemaphorePermit,
    }

    let first = events_of(&now);
    let visitor = Visitor { sections, seen: now, _permit: permit };
    let later = stream::unfold(visitor, |mut visitor| async move {
        visitor.sections.changed().await.ok()?;
        let newest = Arc::clone(&visitor.sections.borrow_and_update());
        let changed: Vec<Section> = newest.iter().filter(|section| !visitor.seen.contains(section)).cloned().collect();
        visitor.seen.clone_from(&newest);
        Some((stream::iter(events_of(&changed)), visitor))
    });
    let end = async move { shutdown.requested().await };
    stream::iter(first).chain(later.flatten()).map(Ok).take_until(Box::pin(end))
}

fn events_of(sections: &[Section]) -> Vec<Event> {
    #[derive(Serialize)]
    struct Data<'a> {
        id: &'a str,
        html: &'a str,
    }

    let event = |(id, html): &Section| Event::default().event("section").json_data(Data { id, html }).ok();
    sections.iter().filter_map(event).collect()
}
