//! Takes memory, CPU time, or both: `hog memory MIB`, `hog cpu [SECONDS]`, `hog both MIB`; `hog work ROUNDS` says how long
//! it took. Without an end given, it goes
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
        Some("work") => {
            let start = Instant::now();
            let found = work(number.unwrap_or(1));
            println!("worked for {} ms", start.elapsed().as_secs_f64() * 1000.0);
            println!("found {found} primes");
        }
        _ => {
            eprintln!("usage: hog memory MIB | hog cpu [SECONDS] | hog both MIB | hog work ROUNDS");
            std::process::exit(2);
        }
    }
}

fn take(mebibytes: u64) -> Vec<Vec<u8>> {
    (0..mebibytes).map(|_| vec![1u8; 1 << 20]).collect()
}

/// A sieve, over and over: short loops with a store in each.
fn work(rounds: u64) -> usize {
    const BELOW: usize = 1 << 20;
    let mut found = 0;
    let mut composite = vec![false; BELOW];
    for _ in 0..rounds {
        composite.fill(false);
        for n in 2..BELOW {
            if !composite[n] {
                found += 1;
                for multiple in (n * 2..BELOW).step_by(n) {
                    composite[multiple] = true;
                }
            }
        }
        std::hint::black_box(&mut composite);
    }
    found
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
