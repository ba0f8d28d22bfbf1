//! Streams in memory: bounded, written behind, hydrated on demand. A stream that
//! changed since it was last written stays; the others give way, the least
//! recently used ones first (second chance).

use std::collections::{BTreeMap, HashMap};

use exchequer_tenant::Stream;
use exchequer_types::StreamId;

/// What a stream is taken to weigh besides its texts, in bytes.
const STREAM_BYTES: usize = 900;

#[derive(Debug)]
struct Slot {
    id: StreamId,
    stream: Stream,
    weight: usize,
    /// The commit that changed it last.
    changed: u64,
    /// The commit up to which it is written behind.
    saved: u64,
    used: bool,
}

/// The streams of one partition that are in memory.
#[derive(Debug)]
pub(crate) struct Streams {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    index: HashMap<StreamId, usize>,
    /// Changed since they were written; by slot, with the changing commit.
    dirty: BTreeMap<usize, u64>,
    bytes: usize,
    bytes_max: usize,
    hand: usize,
}

impl Streams {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            dirty: BTreeMap::new(),
            bytes: 0,
            bytes_max,
            hand: 0,
        }
    }

    pub(crate) fn contains(&self, id: &StreamId) -> bool {
        self.index.contains_key(id)
    }

    /// The stream, which must have been loaded if it exists.
    pub(crate) fn get(&mut self, id: &StreamId) -> Option<&Stream> {
        let slot = self.slots[*self.index.get(id)?].as_mut()?;
        slot.used = true;
        Some(&slot.stream)
    }

    /// Turns of background work for the stream in each round; what is not in memory
    /// has the ordinary share.
    pub(crate) fn background_share(&self, id: &StreamId) -> u32 {
        let slot = self.index.get(id).and_then(|at| self.slots[*at].as_ref());
        let tenant = slot.and_then(|slot| slot.stream.tenants.tenant.as_ref());
        tenant.map_or(2, exchequer_domain_tenants::Tenant::background_share)
    }

    /// The commit up to which the stream's cell was written when it was loaded.
    pub(crate) fn saved(&self, id: &StreamId) -> u64 {
        let slot = self.index.get(id).and_then(|at| self.slots[*at].as_ref());
        slot.map_or(0, |slot| slot.saved)
    }

    /// Takes over a stream from its cell, written behind up to commit `saved`.
    pub(crate) fn load(&mut self, id: StreamId, stream: Stream, saved: u64) {
        let weight = weigh(&stream);
        self.bytes += weight;
        let slot = Slot { id: id.clone(), stream, weight, changed: saved, saved, used: true };
        let at = if let Some(at) = self.free.pop() {
            self.slots[at] = Some(slot);
            at
        } else {
            self.slots.push(Some(slot));
            self.slots.len() - 1
        };
        self.index.insert(id, at);
    }

    /// Replaces a loaded stream with what commit `seq` made of it.
    pub(crate) fn change(&mut self, id: &StreamId, stream: Stream, seq: u64) {
        let Some(at) = self.index.get(id).copied() else { return };
        let Some(slot) = self.slots[at].as_mut() else { return };
        let weight = weigh(&stream);
        self.bytes = self.bytes - slot.weight + weight;
        slot.weight = weight;
        slot.stream = stream;
        slot.changed = seq;
        slot.used = true;
        self.dirty.insert(at, seq);
    }

    /// Streams that changed since they were written, with the changing commit.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = (&StreamId, &Stream, u64)> + '_ {
        self.dirty.iter().filter_map(|(at, seq)| {
            self.slots[*at].as_ref().map(|slot| (&slot.id, &slot.stream, *seq))
        })
    }

    pub(crate) fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Everything that changed up to commit `seq` is written.
    pub(crate) fn saved_up_to(&mut self, seq: u64) {
        let slots = &mut self.slots;
        self.dirty.retain(|at, changed| {
            if *changed > seq {
                return true;
            }
            if let Some(slot) = slots[*at].as_mut() {
                slot.saved = slot.changed;
            }
            false
        });
    }

    /// Lets streams go until the bound holds, as far as they are written.
    pub(crate) fn shrink(&mut self, keep: &StreamId) {
        let mut looked_at = 0;
        while self.bytes > self.bytes_max && looked_at < self.slots.len() * 2 {
            looked_at += 1;
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if self.dirty.contains_key(&at) {
                continue;
            }
            let Some(slot) = self.slots[at].as_mut() else { continue };
            if slot.used || slot.id == *keep {
                slot.used = false;
                continue;
            }
            self.bytes -= slot.weight;
            let id = slot.id.clone();
            self.index.remove(&id);
            self.slots[at] = None;
            self.free.push(at);
        }
    }

    /// Estimated bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes > self.bytes_max
    }
}

fn weigh(stream: &Stream) -> usize {
    let state = &stream.tenants;
    let texts = |settings: &BTreeMap<String, String>| {
        settings.iter().map(|(key, value)| key.len() + value.len() + 100).sum::<usize>()
    };
    let own = state
        .tenant
        .as_ref()
        .map_or(0, |tenant| tenant.name.len() + tenant.reason.len() + texts(&tenant.settings));
    let adopted: usize = state.adopted.iter().map(|it| 300 + texts(&it.settings)).sum();
    STREAM_BYTES + own + adopted + stream.timers.len() * 200 + stream.weight()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> StreamId {
        StreamId::parse(&format!("t{n}")).unwrap()
    }

    // REQ: KER-14
    #[test]
    fn memory_is_bounded_and_changed_streams_stay() {
        let mut streams = Streams::new(10 * STREAM_BYTES);
        let keep = id(0);
        for n in 0..1_000 {
            streams.load(id(n), Stream::default(), 0);
            if n == 5 {
                streams.change(&id(5), Stream { version: 7, ..Stream::default() }, 3);
            }
            streams.shrink(&keep);
            assert!(streams.bytes() <= 11 * STREAM_BYTES, "{}", streams.bytes());
        }
        assert!(streams.contains(&keep));
        assert_eq!(streams.get(&id(5)).map(|stream| stream.version), Some(7));
        streams.saved_up_to(2);
        assert_eq!(streams.dirty_len(), 1);
        streams.saved_up_to(3);
        assert_eq!((streams.dirty_len(), streams.saved(&id(5))), (0, 3));
        for n in 2_000..2_100 {
            streams.load(id(n), Stream::default(), 0);
            streams.shrink(&keep);
        }
        assert!(!streams.contains(&id(5)), "written, and so it may go");
    }
}
