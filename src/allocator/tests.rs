use std::fs;

#[test]
fn free_memory_is_given_back_in_the_background() {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap());
    assert!(names.into_iter().any(|name| name.trim_end() == "jemalloc_bg_thd"));
}
