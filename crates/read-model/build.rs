//! Lets cargo notice new migrations, which `sqlx::migrate!` includes.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
