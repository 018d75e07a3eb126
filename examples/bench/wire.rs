//! What the load generators of the benchmarks share: raw keep-alive connections and no HTTP library, so that little of
//! the machine goes into asking.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// One keep-alive connection, with what was read of the next answer.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens that many connections, at least one.
    pub(crate) async fn open(address: SocketAddr, count: u32) -> io::Result<Vec<Self>> {
        let mut connections = Vec::new();
        for _ in 0..count.max(1) {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            connections.push(Self {
                stream,
                buffer: Vec::new(),
            });
        }
        Ok(connections)
    }

    /// Sends a request and reads its whole answer; gives the status.
    pub(crate) async fn exchange(&mut self, mut request: &[u8]) -> io::Result<u16> {
        while !request.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(request) {
                Ok(written) => request = request.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        loop {
            if let Some((status, length)) = complete_answer(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(status);
            }
            self.stream.readable().await?;
            let mut chunk = [0; 4096];
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err(io::Error::other("the service closed the connection")),
                Ok(read) => self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Status and length of the answer at the start of the buffer, once all of it is there.
///
/// Answers must say their length; the service's do.
fn complete_answer(buffer: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let malformed = || io::Error::other("the answer is not HTTP/1.1 with a length");
    let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default()).map_err(|_| malformed())?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let body: Option<usize> = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    let (status, body) = status.zip(body).ok_or_else(malformed)?;
    let length = end + 4 + body;
    Ok((buffer.len() >= length).then_some((status, length)))
}

/// The value that this share of the sorted values does not exceed; 0 of none.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}
