;; What every handler has: a memory, and an allocator that no test needs.

(memory (export "memory") 2)

(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (unreachable))
