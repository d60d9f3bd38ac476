//! Live updates of the dashboard as server-sent events. Sections are rendered once for all visitors, at most four times
//! a second, and not at all while no visitor is connected.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::Event;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    dashboard::{self, Section},
    shutdown::Shutdown,
    view::View,
};

/// Minimum time between two renderings.
const RENDER_PAUSE: Duration = Duration::from_millis(250);
/// Interval at which ages on the page are updated while no new view arrives.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Receiver of the newest rendered sections.
pub(super) type Sections = watch::Receiver<Arc<Vec<Section>>>;

/// Renders the sections of every new view while there is a visitor to receive them, until shutdown.
pub(super) async fn render_sections(
    mut views: watch::Receiver<Arc<View>>,
    sections: watch::Sender<Arc<Vec<Section>>>,
    shutdown: Shutdown,
) {
    let mut refresh = interval(REFRESH_INTERVAL);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            changed = views.changed() => if changed.is_err() { return },
            _ = refresh.tick() => {}
        }
        // One receiver is the server's own, which it clones for each visitor.
        if sections.receiver_count() > 1 {
            let view = Arc::clone(&views.borrow_and_update());
            sections.send_replace(Arc::new(dashboard::sections(&view)));
            sleep(RENDER_PAUSE).await;
        }
    }
}

/// Returns the events for one visitor: every section once, then each section that has changed. The stream ends at
/// shutdown. `permit` is released when the visitor disconnects.
pub(super) fn events(
    now: Vec<Section>,
    sections: Sections,
    permit: OwnedSemaphorePermit,
    shutdown: Shutdown,
) -> impl Stream<Item = Result<Event, Infallible>> {
    struct Visitor {
        sections: Sections,
        sent: Vec<Section>,
        _permit: OwnedSemaphorePermit,
    }

    let first = events_of(&now);
    let visitor = Visitor { sections, sent: now, _permit: permit };
    let later = stream::unfold(visitor, |mut visitor| async move {
        visitor.sections.changed().await.ok()?;
        let newest = Arc::clone(&visitor.sections.borrow_and_update());
        let changed: Vec<Section> = newest.iter().filter(|section| !visitor.sent.contains(section)).cloned().collect();
        visitor.sent.clone_from(&newest);
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
