//! Tests of the bot.
