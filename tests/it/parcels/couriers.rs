//! Each courier's adapter under the whole service, with an imitation of the courier behind it.

mod easypost;
mod karrio;
mod kuaidi100;
mod sf;
