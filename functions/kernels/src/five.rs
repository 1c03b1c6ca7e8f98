//! The innermost part of a matrix product: a tile of ten vectors, in registers, of five rows as they lie in memory and a block of
//! eight columns. Of each step, the number of each row is multiplied with the two vectors of the block.
//!
//! A step loads seven times for ten multiply-adds, and shuffles nothing: on x86-64 a shuffle takes one of the two ports that
//! multiply, and there is time for two loads a cycle at the most. How the code below is written is for Cranelift, as in
//! [`crate::twelve`]:
//!
//! - A number is loaded and made a vector by one instruction if the vector is needed once, else by three, two of which take ports
//!   that multiply. Here it is needed twice. But what is the next block's argument is needed once, whatever becomes of it there. So
//!   each load, and what is made of it, is a block of its own. It takes no instruction where one block follows the other; for it to
//!   have arguments, it must also be entered from elsewhere. That is what the switch is for: it could enter each block, and never
//!   enters any but a step's first, for the steps that a product has over.
//! - What enters a block from there is one vector, as in [`crate::twelve`]; or, where no loop turns and the sums are still in
//!   registers, what is there, so that nothing is moved.
//! - An address is made once in a turn of the loop if its first use is in a block that all others are behind: the loop's first. So
//!   something is loaded there, of the last step, which each turn has.

use crate::twelve::{NUMBER, at};
use crate::vector::F32x4;

/// Rows of a tile.
pub const ROWS: usize = 5;

/// Vectors of a row of a tile.
const VECTORS: usize = 2;

/// Steps between two turns of the loop. With more, it has no room in the processor beside what else runs there.
const STEPS: usize = 32;

/// The most steps of a product that needs no loop.
pub const SHORT: usize = 48;

/// Blocks of a step: one that loads and one that multiplies for each row.
const UNITS: usize = 2 * ROWS;

/// A tile.
pub type Sums = [[F32x4; VECTORS]; ROWS];

/// Does the units of a step, and before them those of the steps behind it in the list, which are the steps before: each in a block
/// of its own that may be entered by its label.
macro_rules! blocks {
    ($enter:block $unit:ident) => { $enter };
    (
        $enter:block $unit:ident
        $step:literal: $a:literal $la:lifetime $b:literal $lb:lifetime $c:literal $lc:lifetime $d:literal $ld:lifetime
        $e:literal $le:lifetime $f:literal $lf:lifetime $g:literal $lg:lifetime $h:literal $lh:lifetime
        $i:literal $li:lifetime $j:literal $lj:lifetime; $($rest:tt)*
    ) => {
        $lj: { $li: { $lh: { $lg: { $lf: { $le: { $ld: { $lc: { $lb: { $la: {
            blocks!($enter $unit $($rest)*);
        } $unit!(load $step 4); } $unit!(multiply $step 4); } $unit!(load $step 3); } $unit!(multiply $step 3); }
        $unit!(load $step 2); } $unit!(multiply $step 2); } $unit!(load $step 1); } $unit!(multiply $step 1); }
        $unit!(load $step 0); } $unit!(multiply $step 0);
    };
}

/// A tile of a product of `depth` steps: of each, a number of each row, which begin at `rows`, and eight at `right`. The sums of
/// each row begin with the eight numbers at `start`. `entrance` is 0, and the compiler must not know: see above. Where it has no
/// `TURNS`, there are at most [`SHORT`].
///
/// # Safety
///
/// `depth` is not 0. There are as many numbers, and those at `right` and at `start` are aligned as vectors are. Nothing of it is in
/// the first 4 KiB of memory, as nothing is that is allocated, or has a name.
#[inline(always)]
pub unsafe fn multiply<const TURNS: bool>(
    depth: usize,
    rows: [*const f32; ROWS],
    right: *const f32,
    start: *const f32,
    entrance: usize,
) -> Sums {
    // SAFETY: as the caller says; the last step of a turn is never behind the last of all.
    unsafe {
        let fresh = |_| std::array::from_fn(|index| F32x4::load_in_order(start.add(4 * index)));
        let mut sums: Sums = std::array::from_fn(fresh);
        let mut vectors: [_; VECTORS] = fresh(0);
        let mut x = F32x4::load_in_order(start);
        let start = vectors;
        // The first turn has the steps that are over: it begins so far behind the loop's beginning.
        let all = const { if TURNS { STEPS } else { SHORT } };
        let mut steps = if TURNS { (depth - 1) % STEPS + 1 } else { depth };
        let mut remaining = depth;
        let mut unit = (all - steps) * UNITS + entrance;
        let behind =
            |from: *const f32, apart: usize| from.expose_provenance().wrapping_sub((all - steps) * apart * NUMBER);
        let mut right = behind(right, 4 * VECTORS);
        let mut rows = rows.map(|row| behind(row, 1));
        loop {
            F32x4::load_splat_in_order(at(rows[0], all - 1));
            F32x4::load_splat_in_order(at(rows[1], all - 1));
            F32x4::load_splat_in_order(at(rows[2], all - 1));
            F32x4::load_splat_in_order(at(rows[3], all - 1));
            F32x4::load_splat_in_order(at(rows[4], all - 1));
            F32x4::load_in_order(at(right, (all - 1) * 4 * VECTORS));
            macro_rules! unit {
                (load $step:literal 4) => {
                    if $step < all {
                        vectors[0] = F32x4::load_in_order(at(right, $step * 4 * VECTORS));
                        vectors[1] = F32x4::load_in_order(at(right, $step * 4 * VECTORS + 4));
                        x = F32x4::load_splat_in_order(at(rows[4], $step));
                    }
                };
                (load $step:literal $row:literal) => {
                    if $step < all {
                        x = F32x4::load_splat_in_order(at(rows[$row], $step));
                    }
                };
                // A result takes the place of its first operand: of what is of no more use.
                (multiply $step:literal 0) => {
                    if $step < all {
                        sums[0][1] = vectors[1].mul_add(x, sums[0][1]);
                        sums[0][0] = x.mul_add(vectors[0], sums[0][0]);
                    }
                };
                (multiply $step:literal $row:literal) => {
                    if $step < all {
                        sums[$row][1] = x.mul_add(vectors[1], sums[$row][1]);
                        sums[$row][0] = x.mul_add(vectors[0], sums[$row][0]);
                    }
                };
            }
            macro_rules! turn {
                ($($step:literal: $($load:literal $load_label:lifetime $multiply:literal $multiply_label:lifetime)*;)*) => {
                    blocks!({
                        match unit {
                            $($(
                                $load if $load > 0 && $load < all * UNITS => {
                                    if TURNS {
                                        (sums, vectors) = ([start; ROWS], start);
                                    }
                                    break $load_label
                                }
                                $multiply if $multiply < all * UNITS => {
                                    if TURNS {
                                        (sums, vectors, x) = ([start; ROWS], start, start[0]);
                                    }
                                    break $multiply_label
                                }
                            )*)*
                            _ => {}
                        }
                    } unit $($step: $($load $load_label $multiply $multiply_label)*;)*)
                };
            }
            turn!(
                47: 470 'u470 471 'u471 472 'u472 473 'u473 474 'u474 475 'u475 476 'u476 477 'u477 478 'u478 479 'u479;
                46: 460 'u460 461 'u461 462 'u462 463 'u463 464 'u464 465 'u465 466 'u466 467 'u467 468 'u468 469 'u469;
                45: 450 'u450 451 'u451 452 'u452 453 'u453 454 'u454 455 'u455 456 'u456 457 'u457 458 'u458 459 'u459;
                44: 440 'u440 441 'u441 442 'u442 443 'u443 444 'u444 445 'u445 446 'u446 447 'u447 448 'u448 449 'u449;
                43: 430 'u430 431 'u431 432 'u432 433 'u433 434 'u434 435 'u435 436 'u436 437 'u437 438 'u438 439 'u439;
                42: 420 'u420 421 'u421 422 'u422 423 'u423 424 'u424 425 'u425 426 'u426 427 'u427 428 'u428 429 'u429;
                41: 410 'u410 411 'u411 412 'u412 413 'u413 414 'u414 415 'u415 416 'u416 417 'u417 418 'u418 419 'u419;
                40: 400 'u400 401 'u401 402 'u402 403 'u403 404 'u404 405 'u405 406 'u406 407 'u407 408 'u408 409 'u409;
                39: 390 'u390 391 'u391 392 'u392 393 'u393 394 'u394 395 'u395 396 'u396 397 'u397 398 'u398 399 'u399;
                38: 380 'u380 381 'u381 382 'u382 383 'u383 384 'u384 385 'u385 386 'u386 387 'u387 388 'u388 389 'u389;
                37: 370 'u370 371 'u371 372 'u372 373 'u373 374 'u374 375 'u375 376 'u376 377 'u377 378 'u378 379 'u379;
                36: 360 'u360 361 'u361 362 'u362 363 'u363 364 'u364 365 'u365 366 'u366 367 'u367 368 'u368 369 'u369;
                35: 350 'u350 351 'u351 352 'u352 353 'u353 354 'u354 355 'u355 356 'u356 357 'u357 358 'u358 359 'u359;
                34: 340 'u340 341 'u341 342 'u342 343 'u343 344 'u344 345 'u345 346 'u346 347 'u347 348 'u348 349 'u349;
                33: 330 'u330 331 'u331 332 'u332 333 'u333 334 'u334 335 'u335 336 'u336 337 'u337 338 'u338 339 'u339;
                32: 320 'u320 321 'u321 322 'u322 323 'u323 324 'u324 325 'u325 326 'u326 327 'u327 328 'u328 329 'u329;
                31: 310 'u310 311 'u311 312 'u312 313 'u313 314 'u314 315 'u315 316 'u316 317 'u317 318 'u318 319 'u319;
                30: 300 'u300 301 'u301 302 'u302 303 'u303 304 'u304 305 'u305 306 'u306 307 'u307 308 'u308 309 'u309;
                29: 290 'u290 291 'u291 292 'u292 293 'u293 294 'u294 295 'u295 296 'u296 297 'u297 298 'u298 299 'u299;
                28: 280 'u280 281 'u281 282 'u282 283 'u283 284 'u284 285 'u285 286 'u286 287 'u287 288 'u288 289 'u289;
                27: 270 'u270 271 'u271 272 'u272 273 'u273 274 'u274 275 'u275 276 'u276 277 'u277 278 'u278 279 'u279;
                26: 260 'u260 261 'u261 262 'u262 263 'u263 264 'u264 265 'u265 266 'u266 267 'u267 268 'u268 269 'u269;
                25: 250 'u250 251 'u251 252 'u252 253 'u253 254 'u254 255 'u255 256 'u256 257 'u257 258 'u258 259 'u259;
                24: 240 'u240 241 'u241 242 'u242 243 'u243 244 'u244 245 'u245 246 'u246 247 'u247 248 'u248 249 'u249;
                23: 230 'u230 231 'u231 232 'u232 233 'u233 234 'u234 235 'u235 236 'u236 237 'u237 238 'u238 239 'u239;
                22: 220 'u220 221 'u221 222 'u222 223 'u223 224 'u224 225 'u225 226 'u226 227 'u227 228 'u228 229 'u229;
                21: 210 'u210 211 'u211 212 'u212 213 'u213 214 'u214 215 'u215 216 'u216 217 'u217 218 'u218 219 'u219;
                20: 200 'u200 201 'u201 202 'u202 203 'u203 204 'u204 205 'u205 206 'u206 207 'u207 208 'u208 209 'u209;
                19: 190 'u190 191 'u191 192 'u192 193 'u193 194 'u194 195 'u195 196 'u196 197 'u197 198 'u198 199 'u199;
                18: 180 'u180 181 'u181 182 'u182 183 'u183 184 'u184 185 'u185 186 'u186 187 'u187 188 'u188 189 'u189;
                17: 170 'u170 171 'u171 172 'u172 173 'u173 174 'u174 175 'u175 176 'u176 177 'u177 178 'u178 179 'u179;
                16: 160 'u160 161 'u161 162 'u162 163 'u163 164 'u164 165 'u165 166 'u166 167 'u167 168 'u168 169 'u169;
                15: 150 'u150 151 'u151 152 'u152 153 'u153 154 'u154 155 'u155 156 'u156 157 'u157 158 'u158 159 'u159;
                14: 140 'u140 141 'u141 142 'u142 143 'u143 144 'u144 145 'u145 146 'u146 147 'u147 148 'u148 149 'u149;
                13: 130 'u130 131 'u131 132 'u132 133 'u133 134 'u134 135 'u135 136 'u136 137 'u137 138 'u138 139 'u139;
                12: 120 'u120 121 'u121 122 'u122 123 'u123 124 'u124 125 'u125 126 'u126 127 'u127 128 'u128 129 'u129;
                11: 110 'u110 111 'u111 112 'u112 113 'u113 114 'u114 115 'u115 116 'u116 117 'u117 118 'u118 119 'u119;
                10: 100 'u100 101 'u101 102 'u102 103 'u103 104 'u104 105 'u105 106 'u106 107 'u107 108 'u108 109 'u109;
                9: 90 'u90 91 'u91 92 'u92 93 'u93 94 'u94 95 'u95 96 'u96 97 'u97 98 'u98 99 'u99;
                8: 80 'u80 81 'u81 82 'u82 83 'u83 84 'u84 85 'u85 86 'u86 87 'u87 88 'u88 89 'u89;
                7: 70 'u70 71 'u71 72 'u72 73 'u73 74 'u74 75 'u75 76 'u76 77 'u77 78 'u78 79 'u79;
                6: 60 'u60 61 'u61 62 'u62 63 'u63 64 'u64 65 'u65 66 'u66 67 'u67 68 'u68 69 'u69;
                5: 50 'u50 51 'u51 52 'u52 53 'u53 54 'u54 55 'u55 56 'u56 57 'u57 58 'u58 59 'u59;
                4: 40 'u40 41 'u41 42 'u42 43 'u43 44 'u44 45 'u45 46 'u46 47 'u47 48 'u48 49 'u49;
                3: 30 'u30 31 'u31 32 'u32 33 'u33 34 'u34 35 'u35 36 'u36 37 'u37 38 'u38 39 'u39;
                2: 20 'u20 21 'u21 22 'u22 23 'u23 24 'u24 25 'u25 26 'u26 27 'u27 28 'u28 29 'u29;
                1: 10 'u10 11 'u11 12 'u12 13 'u13 14 'u14 15 'u15 16 'u16 17 'u17 18 'u18 19 'u19;
                0: 0 'u0 1 'u1 2 'u2 3 'u3 4 'u4 5 'u5 6 'u6 7 'u7 8 'u8 9 'u9;
            );
            remaining -= steps;
            if !TURNS || remaining == 0 {
                return sums;
            }
            (steps, unit) = (STEPS, 0);
            right = right.wrapping_add(STEPS * 4 * VECTORS * NUMBER);
            rows = rows.map(|row| row.wrapping_add(STEPS * NUMBER));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numbers::numbers;

    proptest! {
        #[test]
        fn a_tile_is_the_product_of_rows_and_a_panel(depth in 1..70_usize, gap in 0..5_usize, seed in 0..1000_u32) {
            let stride = depth + gap;
            let (rows, panel) = (numbers(seed, stride * ROWS), numbers(seed + 1, depth * 4 * VECTORS));
            let start = [0.5, -0.25];
            // SAFETY: there are as many numbers; elsewhere than on WebAssembly a vector is aligned as a number is.
            let sums = unsafe {
                let from = std::array::from_fn(|row| rows[row * stride..].as_ptr());
                let start: [f32; 8] = std::array::from_fn(|column| start[column / 4]);
                let sums = multiply::<true>(depth, from, panel.as_ptr(), start.as_ptr(), 0);
                if depth <= SHORT {
                    let others = multiply::<false>(depth, from, panel.as_ptr(), start.as_ptr(), 0);
                    prop_assert_eq!(sums.map(|row| row.map(F32x4::to_array)), others.map(|row| row.map(F32x4::to_array)));
                }
                sums
            };
            for (row, sums) in sums.into_iter().enumerate() {
                let sums = sums.into_iter().flat_map(F32x4::to_array);
                for (column, got) in sums.enumerate() {
                    let number = |step: usize| f64::from(rows[row * stride + step]) * f64::from(panel[step * 8 + column]);
                    let expected = f64::from(start[column / 4]) + (0..depth).map(number).sum::<f64>();
                    prop_assert!((f64::from(got) - expected).abs() <= 1e-5 * depth as f64, "{got} {expected}");
                }
            }
        }
    }
}
