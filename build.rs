//! Builds the index's core through its own CMakeLists, and the bridge to it. No other thought.

fn main() {
    // Always optimised: unoptimised kernels would make a debug server useless.
    let core = cmake::Config::new("spfresh")
        .profile("Release")
        .pic(true)
        .define("SPFRESH_TESTS", "OFF")
        .build();
    cxx_build::bridge("src/index/ffi.rs")
        .files(["cpp/bridge.cc", "cpp/threads.cc"])
        .include("cpp")
        .include("spfresh/include")
        .std("c++20")
        .opt_level(2)
        .compile("nearlake_bridge");

    // After the bridge, which needs it.
    println!("cargo:rustc-link-search=native={}/lib", core.display());
    println!("cargo:rustc-link-lib=static=spfresh");
    println!("cargo:rustc-link-lib=dylib=hwy");
    println!("cargo:rustc-link-lib=dylib=stdc++");
    for path in
        ["src/index/ffi.rs", "cpp", "spfresh/CMakeLists.txt", "spfresh/include", "spfresh/src"]
    {
        println!("cargo:rerun-if-changed={path}");
    }
}
