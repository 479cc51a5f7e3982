//! Counts the primes below its first argument, or below `PRIMES_BELOW`, or below 100000. Ends with code 0, or with the
//! code in `FAIL_WITH`.

fn main() {
    let below = std::env::args().nth(1).or_else(|| std::env::var("PRIMES_BELOW").ok());
    let below: usize = below.and_then(|text| text.parse().ok()).unwrap_or(100_000);
    println!("there are {} primes below {below}", primes_below(below).len());
    if let Some(code) = std::env::var("FAIL_WITH").ok().and_then(|text| text.parse().ok()) {
        eprintln!("failing with code {code}, as told");
        exit(code);
    }
}

fn primes_below(below: usize) -> Vec<usize> {
    let mut is_composite = vec![false; below];
    let mut primes = Vec::new();
    for n in 2..below {
        if !is_composite[n] {
            primes.push(n);
            (n * n..below).step_by(n).for_each(|multiple| is_composite[multiple] = true);
        }
    }
    primes
}

/// On wasip2 the standard library's exit knows only success and failure.
#[cfg(target_env = "p2")]
fn exit(code: u8) {
    wasip2::cli::exit::exit_with_code(code);
}

#[cfg(not(target_env = "p2"))]
fn exit(code: u8) {
    std::process::exit(code.into());
}
