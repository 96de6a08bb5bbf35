//! Positions of the channel: `messages:32 | lap:1 | index:31`.

const LAP: u32 = 1 << 31;

/// A position as it stands in `head` and `tail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub messages: u32,
    lap: u32,
    pub index: u32,
}

impl Position {
    pub fn unpack(word: u64, size: u32) -> Option<Self> {
        let low = word as u32;
        let position = Self { messages: (word >> 32) as u32, lap: low & LAP, index: low & !LAP };
        (position.index < size).then_some(position)
    }

    pub fn pack(self) -> u64 {
        u64::from(self.messages) << 32 | u64::from(self.lap | self.index)
    }

    /// After a message of `taken` words, at most the ring's.
    pub fn past_message(self, taken: u32, size: u32) -> Self {
        let index = self.index + taken; // both below 2^31
        let messages = self.messages.wrapping_add(1);
        if index < size {
            return Self { messages, index, ..self };
        }
        Self { messages, lap: self.lap ^ LAP, index: index - size }
    }

    /// Words between `head` and `tail`; `None` where no pair of positions is so.
    pub fn used(head: Self, tail: Self, size: u32) -> Option<u32> {
        let used = if head.lap == tail.lap {
            tail.index.checked_sub(head.index)?
        } else {
            size - head.index.checked_sub(tail.index)?
        };
        let messages = tail.messages.wrapping_sub(head.messages);
        (messages <= used && (messages == 0) == (used == 0)).then_some(used)
    }
}
