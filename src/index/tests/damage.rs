//! Directories that are not what was written: whatever their bytes, they are refused or mean what they
//! say; and one that names another posting's bytes loses no row unseen.

use super::*;
use crate::index::posting::{Object, Part, Stored};

/// A directory as bytes, with the index that it is of.
fn directory() -> (Index, Vec<u8>) {
    let index = built(Metric::Cosine, &vectors(500, 14));
    let objects = Objects::default();
    let checkpoint = block_on(index.checkpoint(&objects, None)).unwrap();
    let bytes = objects.0.lock()[&checkpoint.directory.name].to_vec();
    (index, bytes)
}

/// What was read, written once more.
fn written(read: &directory::Directory) -> Vec<u8> {
    let chunks = read.postings.iter().flat_map(|(_, posting)| &posting.chunks);
    let stored: Vec<Stored> = chunks.map(|chunk| chunk.stored().unwrap()).collect();
    let mut objects: Vec<Arc<Object>> = Vec::new();
    for part in stored.iter().flat_map(|stored| [&stored.scan, &stored.records]) {
        if !objects.iter().any(|object| Arc::ptr_eq(object, &part.object)) {
            objects.push(Arc::clone(&part.object));
        }
    }
    let left_out = &read.left_out;
    directory::write(&read.core, &read.postings, &stored, &objects, left_out).unwrap()
}

fn mutate(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    for _ in 0..random.random_range(1..4) {
        // Half of the changes behind the core's version, among the places of chunks.
        let from = if random.random() { 0 } else { bytes.len() * 3 / 4 };
        let at = random.random_range(from..bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            // Numbers that ask for more than there is.
            2 => bytes[at] = 0xFF,
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, random.random()),
            _ => {
                let len = random.random_range(1..64).min(bytes.len() - at);
                let part = bytes[at..at + len].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, part);
            }
        }
    }
}

#[test]
fn a_directory_of_any_bytes_is_refused_or_means_what_it_says() {
    let (_, whole) = directory();
    assert_eq!(written(&directory::read(&whole).unwrap()), whole);
    let mut random = SmallRng::seed_from_u64(15);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..6000 {
        let mut bytes = whole.clone();
        mutate(&mut bytes, &mut random);
        let Ok(read) = directory::read(&bytes) else {
            refused += 1;
            continue;
        };
        taken += 1;
        let chunks = read.postings.iter().flat_map(|(_, posting)| &posting.chunks);
        let entries: u64 = chunks.map(|chunk| u64::from(chunk.entries())).sum();
        assert_eq!(entries, read.core.entries(), "its entries are counted in one way");
        // What is written of it is read as the same.
        let again = written(&read);
        let read = directory::read(&again).expect("what was read can be written and read");
        assert_eq!(written(&read), again);
    }
    assert!(taken > 100 && refused > 3000, "{taken} taken, {refused} refused");
    for len in (0..whole.len()).step_by(7) {
        assert!(directory::read(&whole[..len]).is_err(), "cut short at {len}");
    }
}

#[test]
fn a_directory_that_names_the_wrong_posting_is_found_out() {
    let all = vectors(3000, 32);
    let index = built(Metric::L2, &all);
    let objects = Arc::new(Objects::default());
    let checkpoint = block_on(index.checkpoint(&*objects, None)).unwrap();
    let store = PostingStore::new(Arc::clone(&objects) as Arc<dyn ObjectSource>, 1 << 30);
    index.adopt(&checkpoint, &store);
    let chunks: Vec<Arc<posting::Chunk>> =
        index.0.postings.iter().flat_map(|(_, posting)| posting.chunks.clone()).collect();
    let stored: Vec<Stored> = chunks.iter().map(|chunk| chunk.stored().unwrap()).collect();
    let alike = (0..chunks.len())
        .flat_map(|one| (one + 1..chunks.len()).map(move |other| (one, other)))
        .find(|&(one, other)| {
            let like = |part| chunks[one].len(part) == chunks[other].len(part);
            chunks[one].entries() == chunks[other].entries()
                && like(Part::Scan)
                && like(Part::Records)
        });
    let (one, other) = alike.expect("two postings are of one size");
    let opened = |stored: &[Stored]| {
        let object = Arc::clone(&stored[0].scan.object);
        let bytes =
            directory::write(&index.0.core, &index.0.postings, stored, &[object], &[]).unwrap();
        let mut checkpoint = checkpoint.clone();
        checkpoint.directory.len = bytes.len() as u64;
        checkpoint.directory_crc = crc32c::crc32c(&bytes);
        objects.0.lock().insert(checkpoint.directory.name.clone(), bytes.into());
        let store = PostingStore::new(Arc::clone(&objects) as Arc<dyn ObjectSource>, 1 << 30);
        block_on(Index::open(&checkpoint, &store))
    };
    let all_of = |index: &Index| block_on(index.search(&search(vector(&all, 0), 3000, 1.0)));
    assert_eq!(all_of(&opened(&stored).unwrap()).unwrap().hits.len(), 3000);

    let mut swapped = stored.clone();
    swapped.swap(one, other);
    let error = all_of(&opened(&swapped).unwrap()).unwrap_err();
    assert_eq!(error.state(), SqlState::DATA_CORRUPTED, "{error}");

    let mut twice = stored;
    twice[one] = twice[other].clone();
    let error = opened(&twice).unwrap_err();
    assert_eq!(error.state(), SqlState::DATA_CORRUPTED, "{error}");
    assert!(error.message().contains("two parts in one place"), "{error}");
}
