//! Linux socket options for which no crate has a safe call.

use std::ffi::c_int;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::{
    BPF_ABS, BPF_ALU, BPF_B, BPF_JA, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_MOD, BPF_RET,
    sock_filter, sock_fprog,
};

/// Classic BPF's name for the result of the last step. libc defines it only for returns.
const BPF_A: u32 = 0x10;

/// Makes the system choose by connection id among `count` sockets that share one address. It picks
/// the socket whose number, in the order of binding, is the id's first byte modulo `count`.
///
/// `socket` is any of them. At least one other must already be bound. This needs no privilege.
#[expect(unsafe_code, reason = "setsockopt takes a pointer")]
pub(crate) fn steer(socket: &impl AsFd, count: u8) -> io::Result<()> {
    // Sockets are numbered from 0. A datagram that is too short for a load goes to socket 0.
    let mut steps = [
        step(BPF_LD | BPF_B | BPF_ABS, 0),
        // The highest bit marks long headers. In them, the id follows flags, version and length.
        sock_filter {
            jf: 2,
            ..step(BPF_JMP | BPF_JSET | BPF_K, 0x80)
        },
        step(BPF_LD | BPF_B | BPF_ABS, 6),
        step(BPF_JMP | BPF_JA, 1),
        step(BPF_LD | BPF_B | BPF_ABS, 1),
        step(BPF_ALU | BPF_MOD | BPF_K, u32::from(count)),
        step(BPF_RET | BPF_A, 0),
    ];
    let program = sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF);
    // SAFETY: the program points to `steps`, which outlive the call; the system copies them.
    unsafe { set(socket.as_fd(), level, name, &program) }
}

fn step(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Makes the system deliver each datagram separately, even where it could merge several.
///
/// The system merges what comes from one address, before it chooses the socket.
#[expect(unsafe_code, reason = "setsockopt takes a pointer")]
pub(crate) fn split_datagrams(socket: &impl AsFd) -> io::Result<()> {
    let off: c_int = 0;
    // SAFETY: the option's value is an int without pointers.
    unsafe { set(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, &off) }
}

/// Returns the MTU of the path to the address that `socket` is connected to.
#[expect(unsafe_code, reason = "getsockopt takes a pointer")]
pub(crate) fn mtu(socket: &impl AsFd, is_ipv6: bool) -> io::Result<u32> {
    let (level, name) = match is_ipv6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
        false => (libc::IPPROTO_IP, libc::IP_MTU),
    };
    let mut mtu: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    let (fd, value) = (socket.as_fd().as_raw_fd(), std::ptr::from_mut(&mut mtu));
    // SAFETY: the descriptor is open while it is borrowed, and `value` is writable for `length`
    // bytes.
    match unsafe { libc::getsockopt(fd, level, name, value.cast(), &raw mut length) } {
        0 => Ok(mtu.unsigned_abs()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// # Safety
/// `T` must be the option's type, and what it points to must be valid.
#[expect(unsafe_code, reason = "setsockopt takes a pointer")]
unsafe fn set<T>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let (value, length) = (std::ptr::from_ref(value), size_of::<T>() as libc::socklen_t);
    // SAFETY: the descriptor is open while it is borrowed, `value` is readable for `length` bytes,
    // and the caller vouches for what is in it.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
