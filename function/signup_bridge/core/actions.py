"""The actions of the Domain API. Each has its own quota and rate limit."""

CREATE = "CreateIntlPhoneEmail"
SEND = "SendIntlPhoneEmailCode"
DESCRIBE = "DescribeIntlPhoneEmailList"
DELETE = "DeleteIntlPhoneEmail"
