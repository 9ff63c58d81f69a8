"""The words people see for each failure."""

from __future__ import annotations

from bot.domain.failure import Failure
from bot.domain.text import Text, same

FAILURES: dict[Failure, Text] = {
    Failure.DNS_NXDOMAIN: Text("域名不存在", "no such name"),
    Failure.DNS_SERVFAIL: Text("解析器报错", "resolver error"),
    Failure.DNS_REFUSED: Text("解析器拒绝", "resolver refused"),
    Failure.DNS_NO_ANSWER: Text("应答里没有地址", "answer without address"),
    Failure.DNS_UNREACHABLE: Text("解析器不可达", "resolver unreachable"),
    Failure.DNS_TIMEOUT: Text("解析超时", "DNS timeout"),
    Failure.DNS_BOGUS: Text("DNSSEC 校验失败", "DNSSEC failure"),
    Failure.TCP_TIMEOUT: Text("连接超时", "connect timeout"),
    Failure.TCP_REFUSED: Text("连接被拒绝", "connection refused"),
    Failure.TCP_RESET: Text("连接被重置", "connection reset"),
    Failure.HOST_UNREACHABLE: Text("主机不可达", "host unreachable"),
    Failure.NETWORK_UNREACHABLE: Text("网络不可达", "network unreachable"),
    Failure.PING_TIMEOUT: Text("ping 无应答", "no ping reply"),
    Failure.MTU_BLACK_HOLE: Text("大包被丢弃", "large packets vanish"),
    Failure.TRACE_UNREACHED: Text("路径未到达目标", "the path ends before the target"),
    Failure.TLS_TIMEOUT: Text("TLS 握手超时", "TLS timeout"),
    Failure.TLS_EXPIRED: Text("证书已过期", "certificate expired"),
    Failure.TLS_UNTRUSTED: Text("证书不可信", "certificate not trusted"),
    Failure.TLS_WRONG_HOST: Text("证书域名不符", "certificate for another host"),
    Failure.TLS_FAILED: Text("TLS 握手失败", "TLS failure"),
    Failure.HTTP_TIMEOUT: Text("HTTP 超时", "HTTP timeout"),
    Failure.HTTP_STATUS: Text("HTTP 状态异常", "bad HTTP status"),
    Failure.HTTP_BODY: Text("HTTP 内容异常", "unexpected body"),
    Failure.HTTP_PROTOCOL: Text("不是 HTTP 应答", "not HTTP"),
    Failure.API_DENIED: Text("权限被拒", "denied"),
    Failure.API_BAD_CREDENTIAL: Text("密钥无效", "bad credential"),
    Failure.API_CLOCK_SKEW: Text("签名过期（时钟）", "signature expired (clock)"),
    Failure.API_THROTTLED: Text("被限流", "throttled"),
    Failure.API_QUOTA: Text("配额用完", "quota used up"),
    Failure.API_ALLOWLIST: Text("来源地址不在名单", "address not on the allow-list"),
    Failure.API_INTERNAL: Text("厂商内部错误", "vendor's internal error"),
    Failure.API_ERROR: Text("厂商返回错误", "vendor error"),
    Failure.DB_TOO_MANY_CONNECTIONS: Text("连接数用尽", "too many connections"),
    Failure.DB_AUTH: Text("数据库认证失败", "database authentication failed"),
    Failure.DB_TIMEOUT: Text("数据库已连接但无应答", "database connects, says nothing"),
    Failure.DB_UNAVAILABLE: Text("数据库暂不可用", "database not ready"),
    Failure.DB_ERROR: Text("数据库返回错误", "database error"),
    Failure.DB_PROTOCOL: Text("数据库应答异常", "unexpected database answer"),
    Failure.CLOCK_TIMEOUT: Text("时间服务器无应答", "no answer from the time server"),
    Failure.CLOCK_UNSYNCHRONISED: Text("时间服务器自身未同步", "the time server knows no time"),
    Failure.AGENT_LOST: Text("观测点没有应答", "agent does not answer"),
    Failure.AGENT_OVERLOADED: Text("观测点过载", "agent overloaded"),
    Failure.AGENT_ERROR: Text("观测点自身出错", "agent's own error"),
    Failure.NOT_PERMITTED: Text("观测点没有所需权限", "agent lacks a permission"),
    Failure.NO_CREDENTIAL: Text("观测点没有密钥", "agent has no credential"),
    Failure.UNSUPPORTED: Text("观测点不支持", "not supported by the agent"),
    Failure.POLICY_DENIED: Text("被观测点策略拒绝", "refused by the agent's policy"),
}


def failure_words(name: str) -> Text:
    """What a failure is called; a word that is none of ours stays as it is."""
    return FAILURES.get(Failure(name), same(name)) if name in Failure.__members__.values() else same(name)
