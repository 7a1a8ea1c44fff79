//! Quick.
use cartwright_testkit::sim::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let from: u64 = args[1].parse().unwrap();
    let n: u64 = args[2].parse().unwrap();
    let shape = match args.get(3).map(String::as_str) { Some("e") => Some(false), Some("d") => Some(true), _ => None };
    let bug = args.get(4).and_then(|b| Bug::parse(b));
    let began = std::time::Instant::now();
    let mut all = Coverage::default();
    let mut failed = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for seed in from..from + n {
        let plan = Plan::from_seed(seed, shape);
        let ran = run(seed, &plan, bug, Keep::Nothing);
        all.add(&ran.coverage);
        if let Some(v) = ran.violation {
            let e = failed.entry(v.check.to_owned()).or_default();
            e.push(seed);
            if e.len() == 1 || n == 1 { println!("{seed}: {v}"); }
        }
        if n == 1 {
            let small = shrink(seed, &plan, bug);
            println!("{}", story(seed, &small, bug));
        }
    }
    for (check, seeds) in failed { println!("{check}: {} {:?}", seeds.len(), &seeds[..seeds.len().min(8)]); }
    println!("{:?}", all);
    let s = began.elapsed().as_secs_f64();
    println!("{n} seeds, {} orders, {:.0} orders/s, {s:.1} s", all.orders, all.orders as f64 / s);
}
