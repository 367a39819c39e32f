// What the kernels need of the machine and CUDA C++ has no word for. All inline PTX is here.
//
// A kernel names these functions and knows no instruction; the tests put others of the same
// names in their place and run the kernels on a CPU.

// The block's shared memory whose size the launch decides.
__device__ inline unsigned char* shared_memory() {
    extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];
    return dynamic_shared_memory;
}

// Wait for all threads of the block; what they wrote to shared memory is then visible.
__device__ inline void block_barrier() { __syncthreads(); }

#if __CUDA_ARCH__ >= 900

// The number of this block in its cluster.
__device__ inline unsigned cluster_rank() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// Say that this thread has come here. What it wrote to the cluster's shared memory before is
// visible to a thread of the cluster that has waited for all to come. Not the aligned forms, which
// let a warp's threads come together only.
__device__ inline void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
}

// Wait for all threads of the cluster to come; once for each time that this one has.
__device__ inline void cluster_wait() {
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}

// The address, in the shared memory of another block of the cluster, of what lies at
// `address` in ours.
__device__ inline unsigned address_in_block(const void* address, unsigned rank) {
    unsigned here = static_cast<unsigned>(__cvta_generic_to_shared(address)), there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
    return there;
}

// Store to the place in another block's shared memory that `address` is in ours.
__device__ inline void store_in_block(float* address, unsigned rank, float value) {
    asm volatile("st.shared::cluster.f32 [%0], %1;"
                 :: "r"(address_in_block(address, rank)), "f"(value) : "memory");
}

__device__ inline void store_in_block(double* address, unsigned rank, double value) {
    asm volatile("st.shared::cluster.f64 [%0], %1;"
                 :: "r"(address_in_block(address, rank)), "d"(value) : "memory");
}

// Start to copy 4, 8 or 16 bytes, aligned to as many, from global to shared memory.
template <int BYTES>
__device__ inline void copy_async(void* shared, const void* global) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                 :: "r"(address), "l"(global), "n"(BYTES) : "memory");
}

// Wait for the copies that this thread has started.
__device__ inline void copy_async_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

#endif
