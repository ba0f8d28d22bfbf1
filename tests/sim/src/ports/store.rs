//! The read store as one process sees it: slow, failing halfway, and going on
//! with a write whose writer died. Embedded, a power loss takes the latest
//! batches, for that store does not sync each of them.

use std::sync::Arc;

use exchequer_readstore::{
    Batch, Fault, Generation, Key, MemoryStore, ReadStore, Row, Scan, StepHook, Table,
};
use futures::future::{BoxFuture, Either, select};
use tokio::sync::oneshot;

use crate::exec::{OUTSIDE, lock};
use crate::world::World;

/// Batches that a power loss may take.
const UNSYNCED_MAX: u64 = 12;

#[derive(Clone, Debug)]
enum Done {
    Write(Batch),
    Drop(&'static Table, Generation),
}

/// The store, and how it came to be as it is.
#[derive(Debug)]
pub(crate) struct StoreState {
    atomic: bool,
    current: Arc<MemoryStore>,
    done: Vec<Done>,
}

impl StoreState {
    pub(crate) fn new(atomic: bool) -> Self {
        let current = Arc::new(MemoryStore::new(atomic));
        Self { atomic, current, done: Vec::new() }
    }

    /// Between the rows of a batch that is not atomic, time passes.
    pub(crate) fn with_steps(&mut self, world: &World) {
        // Weak, for the world holds the store.
        let world = Arc::downgrade(&world.0);
        let hook: StepHook = Arc::new(move |_| {
            let world = world.upgrade();
            Box::pin(async move {
                if let Some(world) = world {
                    World(world).step("row").await;
                }
            })
        });
        self.current = Arc::new(MemoryStore::with_steps(self.atomic, hook));
    }

    pub(crate) fn current(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.current)
    }
}

impl World {
    pub(crate) fn store_now(&self) -> Arc<MemoryStore> {
        lock(&self.store).current()
    }

    /// Power goes: the latest batches of the embedded store are lost.
    pub(crate) fn lose_unsynced_rows(&self) {
        let mut state = lock(&self.store);
        let lost = self.sim.rng(|rng| rng.below(UNSYNCED_MAX)) as usize;
        let kept = state.done.len().saturating_sub(lost);
        state.done.truncate(kept);
        let fresh = MemoryStore::new(true);
        for done in &state.done {
            let write = async {
                match done.clone() {
                    Done::Write(batch) => fresh.write(batch).await,
                    Done::Drop(table, generation) => fresh.drop_generation(table, generation).await,
                }
            };
            // Without a hook nothing waits.
            let _ = futures::FutureExt::now_or_never(write);
        }
        state.current = Arc::new(fresh);
        self.sim.note(|| format!("store lost {lost} of its batches"));
    }

    async fn write_rows(&self, batch: Batch) -> Result<(), Fault> {
        let store = self.store_now();
        if !self.is_embedded() {
            return store.write(batch).await;
        }
        self.step("batch").await;
        let mut state = lock(&self.store);
        let now = futures::FutureExt::now_or_never(state.current().write(batch.clone()));
        state.done.push(Done::Write(batch));
        // The embedded store has no hook, and waits for nothing.
        now.unwrap_or_else(|| Err(unavailable()))
    }
}

fn unavailable() -> Fault {
    Fault::retryable("the store does not answer")
}

#[derive(Debug)]
pub(crate) struct StorePort(pub(crate) World);

impl StorePort {
    async fn fails(&self, name: &str) -> Result<(), Fault> {
        self.0.step(name).await;
        if self.0.sim.chance(self.0.rates().store) {
            self.0.sim.note(|| format!("store fails at {name}"));
            return Err(unavailable());
        }
        Ok(())
    }
}

impl ReadStore for StorePort {
    fn is_atomic(&self) -> bool {
        self.0.plan.atomic_store
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        let world = self.0.clone();
        Box::pin(async move {
            self.fails("write").await?;
            let rates = world.rates();
            world.sim.note(|| {
                let first = batch.writes().next().map_or("", |write| write.table.name);
                format!("store {}+{} rows, {first}", batch.rows.len(), batch.last.len())
            });
            if !world.is_embedded() && world.sim.chance(rates.detached) {
                let (done, is_done) = oneshot::channel();
                let wait = world.sim.within(1, 1_500_000);
                let carried = world.clone();
                world.sim.spawn_on(OUTSIDE, async move {
                    carried.sim.sleep(wait).await;
                    // The writer may be gone.
                    let _ = done.send(carried.write_rows(batch).await);
                });
                return is_done.await.unwrap_or_else(|_| Err(unavailable()));
            }
            if world.sim.chance(rates.store) {
                let cut = world.sim.sleep(world.sim.within(1, 4_000));
                let write = Box::pin(world.write_rows(batch));
                return match select(write, Box::pin(cut)).await {
                    Either::Left((result, _)) => result.and_then(|()| Err(unavailable())),
                    Either::Right(_) => Err(unavailable()),
                };
            }
            world.write_rows(batch).await
        })
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        Box::pin(async move {
            self.fails("get").await?;
            self.0.store_now().get(table, generation, key).await
        })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        Box::pin(async move {
            self.fails("scan").await?;
            self.0.store_now().scan(scan).await
        })
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            self.fails("drop").await?;
            if self.0.is_embedded() {
                lock(&self.0.store).done.push(Done::Drop(table, generation));
            }
            self.0.store_now().drop_generation(table, generation).await
        })
    }
}
