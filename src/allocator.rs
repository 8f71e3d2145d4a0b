//! Where memory comes from, and where it goes.

#[cfg(test)]
mod tests;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by the allocator when it starts: what was freed goes back to the system after some seconds,
/// even if nothing happens any more.
#[allow(unsafe_code, reason = "a library that is not ours looks for this name")]
// SAFETY: it is a C string, which is what jemalloc takes a symbol of this name for.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8; 23] = b"background_thread:true\0";
