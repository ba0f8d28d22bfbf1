//! Live snapshots: what is asked thousands of times a second, in memory, bounded,
//! and never older than the last reply of this process.

mod cache;
mod view;

pub use view::{LiveView, Seen};

use core::any::Any;
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_codec::Entry;
use exchequer_readstore::LoadLive;

use crate::tail::TailListener;
use crate::view::Views;
use crate::{EngineError, Ports, Tail};

/// A kind of snapshots that a platform is started with.
pub trait LiveKind: fmt::Debug + Send + Sync {
    /// Its snapshots in this process, of at most `bytes_max` bytes.
    #[doc(hidden)]
    fn open(&self, ports: &Ports, tail: &Arc<Tail>, bytes_max: usize) -> Arc<dyn OpenLive>;
}

/// A kind as a platform runs it.
#[doc(hidden)]
pub trait OpenLive: TailListener {
    fn name(&self) -> &'static str;
    fn connect(&self, views: &Views) -> Result<(), EngineError>;
    fn refresh_gauges(&self);
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// `live` as a kind to start a platform with.
pub fn live_of<L>(live: L) -> Arc<dyn LiveKind>
where
    L: LoadLive<Entry = Entry> + Clone + fmt::Debug + Send + Sync + 'static,
{
    Arc::new(LiveOf(live))
}

#[derive(Debug)]
struct LiveOf<L>(L);

impl<L> LiveKind for LiveOf<L>
where
    L: LoadLive<Entry = Entry> + Clone + fmt::Debug + Send + Sync + 'static,
{
    fn open(&self, ports: &Ports, tail: &Arc<Tail>, bytes_max: usize) -> Arc<dyn OpenLive> {
        Arc::new(LiveView::new(self.0.clone(), ports, tail, bytes_max))
    }
}

impl<L: LoadLive<Entry = Entry> + Send + Sync + 'static> OpenLive for LiveView<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn connect(&self, views: &Views) -> Result<(), EngineError> {
        let Some(view) = views.get(L::VIEW) else {
            return Err(EngineError::Stopped(format!("{} needs the view {}", L::NAME, L::VIEW)));
        };
        Self::connect(self, Arc::clone(view));
        Ok(())
    }

    fn refresh_gauges(&self) {
        Self::refresh_gauges(self);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// All live snapshots of the process, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives {
    by_name: Arc<BTreeMap<&'static str, Arc<dyn OpenLive>>>,
}

impl Lives {
    /// Opens `kinds` on `tail`, before anything is folded. Each has an equal share of
    /// the memory that they may use.
    pub(crate) fn open(ports: &Ports, tail: &Arc<Tail>, kinds: &[Arc<dyn LiveKind>]) -> Self {
        let bytes_max = ports.settings.live_bytes_max / kinds.len().max(1);
        let mut by_name = BTreeMap::new();
        for kind in kinds {
            let open = kind.open(ports, tail, bytes_max);
            tail.listen(Arc::<dyn OpenLive>::clone(&open));
            by_name.insert(open.name(), open);
        }
        Self { by_name: Arc::new(by_name) }
    }

    pub(crate) fn connect(&self, views: &Views) -> Result<(), EngineError> {
        self.by_name.values().try_for_each(|live| live.connect(views))
    }

    pub(crate) fn refresh_gauges(&self) {
        for live in self.by_name.values() {
            live.refresh_gauges();
        }
    }

    pub(crate) fn get<L>(&self) -> Option<Arc<LiveView<L>>>
    where
        L: LoadLive<Entry = Entry> + Send + Sync + 'static,
    {
        Arc::clone(self.by_name.get(L::NAME)?).as_any().downcast().ok()
    }
}
