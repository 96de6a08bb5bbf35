//! Which types may move between threads and be shared by them: the table in `docs/soundness.md`, checked by the
//! compiler. A wrong row does not build.

use ringfence::{
    Array, ArrayGuard, Arrived, Barrier, BarrierError, Blackboard, BlackboardReadError, BlackboardWriteError,
    BlackboardWriter, Broadcast, BroadcastOptions, BroadcastReader, BroadcastRecvError, BroadcastSendError,
    BroadcastWriter, ByteConsumer, ByteProducer, ByteRing, CChar, ChangeError, Channel, CloseError, Condvar,
    CondvarError, Consumer, Element, ElementError, End, Error, Event, InitError, JoinError, Leader, Lease, LeaseError,
    LockError, LockFailure, MessageMut, MessageRef, Mutex, MutexGuard, ObjectInfo, Once, OnceGuard, OnceState,
    OnceValue, OutOfRange, ParticipantInfo, Passed, Permits, Pipe, PopError, Producer, PushError, Queue, RawArray,
    RawValue, ReaderError, Ready, ReadyFd, Record, RecvError, ReentrantMutex, ReentrantMutexGuard, Registration,
    Reservation, Reset, RingPopError, RingPushError, RwLock, RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard,
    Segment, SegmentInfo, SegmentOptions, Semaphore, SemaphoreOptions, SendError, SetError, Spsc, SweepReport,
    TakeError, Unlink, Value, ValueGuard, WaitAny, WaitError, Waitable, Woken, WorkPushError, WorkQueue,
    WorkQueueOptions, WriterError,
};

const fn send_and_sync<T: Send + Sync>() {}
const fn send<T: Send>() {}

/// Fails to build if a type has the trait: then both implementations fit, and the call is ambiguous.
macro_rules! not {
    ($marker:ident: $($type:ty),+ $(,)?) => {
        const _: () = {
            trait Ambiguous<A> {
                const CHECKED: () = ();
            }
            struct Fits;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $marker> Ambiguous<Fits> for T {}
            $(let () = <$type as Ambiguous<_>>::CHECKED;)+
        };
    };
}

const _: () = {
    send_and_sync::<Segment>();
    send_and_sync::<(Mutex<u64>, Queue<u64>, Channel)>();
    send_and_sync::<(Broadcast<u64>, Broadcast<[u8]>, BroadcastOptions, Blackboard<u64>)>();
    send_and_sync::<(BroadcastSendError, BroadcastRecvError, BlackboardReadError, BlackboardWriteError)>();
    send_and_sync::<(WriterError, ReaderError)>();
    send::<(BroadcastWriter<u64>, BroadcastReader<[u8]>, BlackboardWriter<u64>)>();
    send_and_sync::<(Value<u64>, RawValue<[u64; 3]>, Array<u64>, RawArray<[u64; 3]>)>();
    send_and_sync::<(RwLock<u64>, ReentrantMutex, Semaphore, Permits<'static>, SemaphoreOptions)>();
    send_and_sync::<(Pipe, End)>();
    send_and_sync::<(Spsc<u64>, ByteRing, RingPushError<u64>, RingPopError)>();
    send::<(Producer<u64>, Consumer<u64>, ByteProducer, ByteConsumer, Reservation<'static>, Record<'static>)>();
    send_and_sync::<(Event, Reset)>();
    send_and_sync::<(Condvar, CondvarError<()>, Woken)>();
    send_and_sync::<(Once, OnceState, OnceValue<u64>, InitError<()>, SetError<u64>)>();
    send_and_sync::<(WorkQueue, WorkQueueOptions, Lease<'static>)>();
    send_and_sync::<(JoinError, LeaseError, TakeError, WorkPushError)>();
    send_and_sync::<(Barrier, BarrierError, Passed, Registration<'static>)>();
    send_and_sync::<(WaitAny<'static>, Waitable<'static>, Ready, ReadyFd, WaitError)>();
    send_and_sync::<(SegmentOptions, Unlink, SegmentInfo, ObjectInfo, ParticipantInfo, SweepReport)>();
    send_and_sync::<(Error, CloseError, Element, CChar)>();
    send_and_sync::<(
        LockError<()>,
        LockFailure,
        ElementError,
        OutOfRange,
        PopError,
        PushError<u64>,
        RecvError,
        SendError,
    )>();
};

not!(Send: MutexGuard<'static, u64>, ReentrantMutexGuard<'static>, ValueGuard<'static, u64>, ArrayGuard<'static>);
not!(Sync: MutexGuard<'static, u64>, ReentrantMutexGuard<'static>, ValueGuard<'static, u64>, ArrayGuard<'static>);
not!(Send: RwLockReadGuard<'static, u64>, RwLockUpgradableGuard<'static, u64>, RwLockWriteGuard<'static, u64>);
not!(Sync: RwLockReadGuard<'static, u64>, RwLockUpgradableGuard<'static, u64>, RwLockWriteGuard<'static, u64>);
not!(Sync: Producer<u64>, Consumer<u64>, ByteProducer, ByteConsumer, Reservation<'static>, Record<'static>);
not!(Send: MessageMut<'static>, MessageRef<'static>);
not!(Sync: MessageMut<'static>, MessageRef<'static>);
not!(Sync: BroadcastWriter<u64>, BroadcastReader<u64>, BlackboardWriter<u64>);
not!(Send: OnceGuard<'static>);
not!(Sync: OnceGuard<'static>);
not!(Send: Leader<'static>, Arrived<'static>);
not!(Sync: Leader<'static>, Arrived<'static>);
not!(Send: ChangeError<RwLockWriteGuard<'static, u64>>);
not!(Send: LockError<MutexGuard<'static, u64>>, CondvarError<MutexGuard<'static, u64>>);
not!(Sync: LockError<MutexGuard<'static, u64>>, CondvarError<MutexGuard<'static, u64>>);

#[cfg(feature = "serde")]
const _: () = {
    use ringfence::{DecodeError, EncodeError, TypedChannel, TypedLease, TypedLeaseError, TypedPipe, TypedPushError};
    use ringfence::{TypedRecvError, TypedSendError, TypedWorkQueue};
    type Local = std::rc::Rc<u64>;
    send_and_sync::<(TypedChannel<Local>, TypedPipe<Local>, TypedWorkQueue<Local>, TypedLease<'static, Local>)>();
    send_and_sync::<(DecodeError, EncodeError, TypedLeaseError, TypedPushError, TypedRecvError, TypedSendError)>();
};

#[cfg(feature = "process")]
const _: () = {
    use ringfence::process::{Process, ProcessError, ProcessInfo};
    send_and_sync::<(Process<std::rc::Rc<u64>>, ProcessError, ProcessInfo)>();
    use ringfence::pool::{AsyncResult, Broken, Pool, PoolError, PoolOptions, TaskError};
    send_and_sync::<(Pool, AsyncResult<std::rc::Rc<u64>>, PoolOptions, TaskError, PoolError, Broken)>();
};

/// Control: types of which the answer is known.
#[test]
fn the_table_is_checked_by_the_compiler() {
    not!(Sync: std::cell::Cell<u64>);
    not!(Send: *const u8);
    const { send_and_sync::<u64>() };
}
