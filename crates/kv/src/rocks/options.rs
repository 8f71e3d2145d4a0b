//! How RocksDB is set up, and what of it the caller decides.

use std::{sync::Arc, time::Duration};

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, CompactionDecision, DBCompressionType,
    DBRecoveryMode, Env, LogLevel, Options, WriteBufferManager,
};

use super::schema::Migration;
use crate::Profile;

/// Seconds since the epoch of Unix.
pub(super) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What the owner of the process decides about the store.
#[derive(Clone)]
pub struct RocksOptions {
    /// For blocks read, indexes, filters and unwritten changes together.
    pub cache_bytes: usize,
    /// Of the cache, for changes that are in the log but not yet in a table file.
    pub write_buffer_bytes: usize,
    /// Commits that wait are refused above this many bytes.
    pub queue_bytes_max: usize,
    /// How often a store on a full disk looks whether there is space again.
    pub probe_interval: Duration,
    /// Seconds since the epoch of Unix.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Every migration that this version of the program knows, in order.
    pub migrations: Vec<Migration>,
}

const MIB: usize = 1 << 20;

impl RocksOptions {
    pub fn new(clock: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self {
            cache_bytes: 64 * MIB,
            write_buffer_bytes: 16 * MIB,
            queue_bytes_max: 64 * MIB,
            probe_interval: Duration::from_secs(1),
            clock,
            migrations: Vec::new(),
        }
    }
}

/// Bytes of the timestamp in front of each value of an expiring table.
pub(super) const STAMP_BYTES: usize = 8;

/// Makes the options of the database and of its families, which share one cache.
pub(super) struct Layout {
    cache: Cache,
    buffers: WriteBufferManager,
    clock: Clock,
}

impl Layout {
    pub fn new(options: &RocksOptions) -> Self {
        let cache = Cache::new_hyper_clock_cache(options.cache_bytes, 0);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            options.write_buffer_bytes,
            false,
            cache.clone(),
        );
        Self { cache, buffers, clock: options.clock.clone() }
    }

    pub fn database(&self) -> Result<Options, rocksdb::Error> {
        let mut options = Options::default();
        // Compaction can wait for what people wait for.
        let mut env = Env::new()?;
        env.lower_thread_pool_cpu_priority();
        options.set_env(&env);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // A torn tail is a commit that was never acknowledged. Any other damage is refused, here
        // and in `log_tail`.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_paranoid_checks(true);
        options.set_write_buffer_manager(&self.buffers);
        // Bounds the time that recovery takes, and the disk that the log takes.
        options.set_max_total_wal_size(32 * MIB as u64);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        options.set_max_background_jobs((cores / 2).clamp(2, 8) as i32);
        options.set_max_open_files(512);
        options.set_bytes_per_sync(MIB as u64);
        // One thread writes.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(4 * MIB);
        options.set_keep_log_file_num(2);
        Ok(options)
    }

    pub fn family(&self, profile: Profile) -> Result<Options, rocksdb::Error> {
        let text = match profile {
            Profile::Ordered => format!("{SCANS_PAST_DELETIONS};{DICTIONARY}"),
            Profile::Random | Profile::Expiring { .. } => SCANS_PAST_DELETIONS.to_owned(),
        };
        let mut options = Options::default().get_options_from_string(text)?;
        options.add_compact_on_deletion_collector_factory(1_024, 512, 0.5);
        options.set_write_buffer_size(8 * MIB);
        options.set_max_write_buffer_number(3);
        // Thirty families that hold little must not take thirty large arenas.
        options.set_arena_block_size(64 << 10);
        options.set_max_bytes_for_level_base(64 * MIB as u64);
        options.set_target_file_size_base(32 * MIB as u64);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_index_type(BlockBasedIndexType::BinarySearch);
        blocks.set_format_version(6);
        match profile {
            Profile::Random => point_reads(&mut options, &mut blocks),
            Profile::Ordered => blocks.set_block_size(16 << 10),
            Profile::Expiring { ttl_s } => {
                point_reads(&mut options, &mut blocks);
                self.expire(&mut options, ttl_s);
            }
        }
        options.set_block_based_table_factory(&blocks);
        Ok(options)
    }

    fn expire(&self, options: &mut Options, ttl_s: u64) {
        let clock = self.clock.clone();
        options.set_compaction_filter(c"expiring", move |_, _, value: &[u8]| {
            match value.first_chunk::<STAMP_BYTES>() {
                Some(stamp) if u64::from_be_bytes(*stamp).saturating_add(ttl_s) < clock() => {
                    CompactionDecision::Remove
                }
                _ => CompactionDecision::Keep,
            }
        });
        // Files that nothing else would touch are compacted once they are this old.
        options.set_periodic_compaction_seconds(ttl_s.max(3_600));
    }
}

/// A queue is a table whose low end is always deleted: a memory table in which scans meet many
/// deletions, or that holds many deleted ranges, is written out before it slows them down.
const SCANS_PAST_DELETIONS: &str =
    "memtable_op_scan_flush_trigger=5000;memtable_max_range_deletions=500";

/// Rows of one table resemble each other more than the rows of one block do. Without its limit, the
/// buffer for training would hold a whole table file; training on six times as much took a
/// twentieth of all the time of a busy server, and saved nothing: 336 and 338 bytes a message.
const DICTIONARY: &str = "bottommost_compression_opts={enabled=true;level=3;\
    max_dict_bytes=16384;zstd_max_train_bytes=262144;max_dict_buffer_bytes=1048576}";

/// Bits of a Bloom filter per key: about one miss in a hundred reads a block for nothing.
const FILTER_BITS: f64 = 10.0;
/// The filter of a memory table, as a part of its largest size.
const MEMORY_FILTER: f64 = 0.005;

fn point_reads(options: &mut Options, blocks: &mut BlockBasedOptions) {
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(MEMORY_FILTER);
    blocks.set_block_size(8 << 10);
    blocks.set_bloom_filter(FILTER_BITS, false);
    blocks.set_optimize_filters_for_memory(true);
}
