//! Takes memory, CPU time, or both: `hog memory MIB`, `hog cpu [SECONDS]`, `hog both MIB`. Without an end given, it goes
//! on until it is stopped.

use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = args.get(1).and_then(|text| text.parse::<u64>().ok());
    match args.first().map(String::as_str) {
        Some("memory") => {
            let held = take(number.unwrap_or(u64::MAX));
            println!("holding {} MiB", held.len());
            std::thread::sleep(Duration::MAX);
        }
        Some("cpu") => burn(number.map(Duration::from_secs)),
        Some("both") => {
            let held = take(number.unwrap_or(64));
            println!("holding {} MiB", held.len());
            burn(None);
        }
        _ => {
            eprintln!("usage: hog memory MIB | hog cpu [SECONDS] | hog both MIB");
            std::process::exit(2);
        }
    }
}

fn take(mebibytes: u64) -> Vec<Vec<u8>> {
    (0..mebibytes).map(|_| vec![1u8; 1 << 20]).collect()
}

fn burn(how_long: Option<Duration>) {
    println!("computing");
    let start = Instant::now();
    let mut state = 1u64;
    loop {
        for _ in 0..10_000_000u32 {
            state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        if how_long.is_some_and(|how_long| start.elapsed() >= how_long) {
            println!("computed for {:?}", start.elapsed());
            return;
        }
    }
}
