import { expect } from 'chai';
import { describe, it } from 'mocha';
import { toDrError } from '../../../../adapters/powershell/errors.ts';
import type { PsError, Step } from '../../../../adapters/powershell/port.ts';

const record = (more: Partial<PsError>): PsError => ({
  step: 0,
  category: 'NotSpecified',
  fqid: 'Unspecified,Microsoft.HyperV.PowerShell.Commands.StartVM',
  message: 'Der Vorgang ist fehlgeschlagen.\r\n',
  type: 'Microsoft.HyperV.PowerShell.VirtualizationException',
  hresult: -2146233088,
  innerHresult: -2146233088,
  target: '',
  ...more,
});
const code = (more: Partial<PsError>, cmdlet: Step['cmdlet'] = 'Start-VM') =>
  toDrError(record(more), { host: 'hv-1', steps: [{ cmdlet, params: {} }] }).code;

describe('an error record', () => {
  const cases: readonly (readonly [Partial<PsError>, string, Step['cmdlet']?])[] = [
    [{ innerHresult: 0x80070020 | 0 }, 'FILE_LOCKED'],
    [{ innerHresult: 0x80070070 | 0 }, 'TARGET_FULL'],
    [{ hresult: 0xc03a0030 | 0, innerHresult: 0 }, 'TRACKING_LOST'],
    [{ innerHresult: 0x800706ba | 0 }, 'HOST_BUSY'],
    [{ innerHresult: 0x80070005 | 0 }, 'PERMISSION_DENIED'],
    [{ fqid: 'InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVM', category: 'InvalidArgument' }, 'NOT_FOUND', 'Get-VM'],
    [{ fqid: 'InvalidParameter,Microsoft.HyperV.PowerShell.Commands.SetVM', category: 'InvalidArgument' }, 'INTERNAL', 'Set-VM'],
    [{ fqid: 'InvalidState,x' }, 'STATE_CONFLICT'],
    [{ fqid: 'CommandNotFoundException', category: 'ObjectNotFound' }, 'PROTOCOL_ERROR'],
    [{ fqid: 'Warmsite.NotAllowed,Get-DrReply', category: 'PermissionDenied' }, 'PROTOCOL_ERROR'],
    [{ fqid: 'Warmsite.NothingFound', category: 'PermissionDenied' }, 'NOT_FOUND'],
    [{ category: 'ResourceUnavailable' }, 'HOST_BUSY'],
    [{ category: 'AuthenticationError' }, 'AUTH_REJECTED'],
    [{}, 'INTERNAL'],
  ];
  for (const [more, expected, cmdlet] of cases) {
    it(`${JSON.stringify(more)} of ${cmdlet ?? 'Start-VM'} is ${expected}`, () => {
      expect(code(more, cmdlet)).to.equal(expected);
    });
  }

  it('says what failed where, in the host’s own words, and what it was decided by', () => {
    const error = toDrError(record({ innerHresult: 0x80070020 | 0 }), { host: 'hv-1', steps: [{ cmdlet: 'Start-VM', params: {} }] });

    expect(error.message).to.equal('Start-VM failed on hv-1: Der Vorgang ist fehlgeschlagen');
    expect(error.context).to.deep.equal({
      method: 'Start-VM',
      name: 'hv-1',
      vendorCode: 'NotSpecified: Unspecified,Microsoft.HyperV.PowerShell.Commands.StartVM',
    });
  });
});
